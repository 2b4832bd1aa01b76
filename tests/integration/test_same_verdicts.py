"""The same rules say the same, to the millisecond and the value: live, in shadow, in `rules test` and in a backtest."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tests.integration.test_shadow import World, world

from tocsin.engine.ingest.interning import Interner
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.replay import Batch, Replay
from tocsin.engine.testing import play
from tocsin.engine.testing.scenario import Input, RuleTest
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import SHADOW
from tocsin.schemas.rule import Rule
from tocsin.testing import collect, eventually

CALM = "n"  # a metric of which rules can learn what is ordinary
KINDS: dict[str, dict[str, Any]] = {
    "threshold": {"threshold": 60, "recovery_threshold": 40, "duration": "3s", "cooldown": "20s"},
    "levels": {
        "levels": [{"severity": "warning", "threshold": 50}, {"severity": "critical", "threshold": 80}],
        "keep_firing_for": "4s",
    },
    "window": {"threshold": 55, "window": {"type": "hopping", "size": "6s", "step": "2s"}, "aggregation": "p90"},
    "range": {"condition": "range", "lower": 10, "upper": 90, "duration": "2s"},
    "change": {"condition": "change", "change": {"against": "7s", "unit": "absolute"}, "threshold": 30},
    "absence": {"condition": "absence", "absence": {"after": "4s"}},
    "group": {"threshold": 105, "group_by": ["service"], "window": {"size": "3s"}, "aggregation": "max"},
    "peers": {
        "metric_type": CALM,
        "condition": "anomaly",
        "anomaly": {"detector": "peers", "min_members": 4},
        "group_by": ["zone"],  # no label: all hosts are peers
        "window": {"size": "1s"},
    },
    "composite": {"condition": "composite", "conditions": ["threshold", "not range"], "group_by": ["host"]},
    "anomaly": {"metric_type": CALM, "condition": "anomaly", "anomaly": {"sensitivity": "high"}},
    "baseline": {"metric_type": CALM, "condition": "baseline", "threshold": 8, "duration": "1s"},
    "auto": {"metric_type": CALM, "threshold": "auto", "operator": "lt", "baseline": {"learn_anomalies": True}},
}
RULES = {
    name: Rule.model_validate(
        ({} if kind.get("condition") == "composite" else {"metric_type": "m"}) | {"id": name, **kind}
    )
    for name, kind in KINDS.items()
}
SECONDS = 160
LAST = SECONDS + 40  # one more sample, so that everything before it is judged
Verdict = tuple[str, str, int, float | None]


def value(metric: str, host: int, second: int) -> float | None:
    """A wave for each host, none in step with another; one is silent for a while, and all before the last sample."""
    if second == LAST:
        return 30.0
    silent = host == 1 and 30 <= second < 42
    if second >= SECONDS or silent:
        return None
    return calm(host, second) if metric == CALM else float((second * (4 + host) + host * 31) % 111)


def calm(host: int, second: int) -> float:
    """A little noise, and late a rise and a fall."""
    strange = {140: 900.0, 141: 700.0, 150: -800.0}.get(second - host, 0.0)
    return 30.0 + (second * 37 + host * 11) % 17 / 10 + strange


HOSTS = {host: {"host": str(host), "service": "ab"[host % 2]} for host in range(4)}
SERIES = [(metric, host) for metric in ("m", CALM) for host in HOSTS]
SAMPLES = [
    (number, second, found)
    for second in range(LAST + 1)
    for number, series in enumerate(SERIES)
    if (found := value(*series, second)) is not None
]


def verdicts(events: Iterable[AlertEvent], begin_ms: int) -> dict[str, list[Verdict]]:
    """What was said of each rule before the samples end, each alert's events in order and a repeat once."""
    unique = {event.id: event for event in events}
    found: defaultdict[str, list[Verdict]] = defaultdict(list)
    for event in unique.values():
        at_ms = parse_instant(event.updated_at) - begin_ms
        if at_ms < SECONDS * 1_000:
            fingerprint = event.fingerprint.removeprefix(SHADOW)
            found[event.rule_id].append((fingerprint, event.type, at_ms, event.value))
    return {rule_id: sorted(said, key=lambda one: one[0]) for rule_id, said in found.items()}


def in_a_rule_test() -> dict[str, list[Verdict]]:
    inputs = [
        Input(
            series=f'{metric}{{host="{HOSTS[host]["host"]}",service="{HOSTS[host]["service"]}"}}',
            values=" ".join("_" if (found := value(metric, host, n)) is None else str(found) for n in range(LAST + 1)),
        )
        for metric, host in SERIES
    ]
    test = RuleTest.model_validate(
        {"name": "all", "interval": "1s", "input": inputs, "expect": [{"at": f"{LAST + 20}s", "states": {}}]}
    )
    pipelines: list[Pipeline] = []
    make = play._pipeline

    def kept(*given: Any) -> Pipeline:
        pipelines.append(make(*given))
        return pipelines[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(play, "_pipeline", kept)
        assert play.outcome(test, RULES.values(), None, 60_000, Shape(sources=2, samples=2)) == ()
    return verdicts(pipelines[0].events, play.BEGIN_MS)


def in_a_backtest(begin_ms: int) -> dict[str, list[Verdict]]:
    interner = Interner(1)
    numbers = [interner.number(metric, orjson.dumps(HOSTS[host]), None) for metric, host in SERIES]
    replay = Replay(RULES.values(), interner)
    columns = [np.array(column) for column in zip(*SAMPLES, strict=True)]
    number = np.array(numbers, np.int64)[columns[0]]
    replay.take(Batch(number, begin_ms + columns[1].astype(np.int64) * 1_000, columns[2]))
    replay.finish()
    return verdicts(replay.drain()[1], begin_ms)


async def live(kafka: str, directory: Path, prefix: str, wanted: Mapping[str, list[Verdict]]) -> Any:
    begin_ms = (time.time_ns() // 1_000_000 - 600_000) // 60_000 * 60_000
    async with world(kafka, directory, prefix) as at:
        for name, rule in RULES.items():
            await at.call("PUT", f"/rules/{name}", rule.document(), 201)
            await at.call("PUT", f"/rules/{name}/shadow", {"rule": rule.document()}, 201)
        for number, second, found in SAMPLES:
            (metric, host), at_ms = SERIES[number], begin_ms + second * 1_000
            sample = {"name": metric, "value": found, "timestamp": at_ms, "labels": HOSTS[host]}
            await at.producer.send_and_wait(at.metrics, orjson.dumps(sample), key=str(host).encode())
        topics = at.topics.alerts, at.topics.shadow_alerts

        async def settled() -> Any:
            found = [await said(at, topic, begin_ms) for topic in topics]
            missing = [
                (topic, name, len(said.get(name, ())), len(wanted[name]))
                for topic, said in zip(topics, found, strict=True)
                for name in wanted
                if len(said.get(name, ())) < len(wanted[name])
            ]
            assert not missing, missing
            return found

        return await eventually(settled, 60, "everything is said", poll_s=0.5)


async def said(at: World, topic: str, begin_ms: int) -> dict[str, list[Verdict]]:
    return verdicts([decode(AlertEvent, record.value) for record in await collect(at.kafka, topic)], begin_ms)


@pytest.fixture(scope="module")
def outcomes(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[Verdict]]]:
    """What each way of running the rules says."""
    found = {"rules test": in_a_rule_test(), "backtest": in_a_backtest(play.BEGIN_MS)}
    directory = tmp_path_factory.mktemp("verdicts")
    found["live"], found["in shadow"] = asyncio.run(
        live(kafka, directory, f"test-{directory.name}.", found["rules test"])
    )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_says_the_same_wherever_it_runs(kind: str, outcomes: dict[str, dict[str, list[Verdict]]]) -> None:
    wanted = outcomes["rules test"][kind]
    assert {kind for _, kind, _, _ in wanted} >= {"firing", "resolved"}
    for way in ("backtest", "live", "in shadow"):
        assert outcomes[way].get(kind) == wanted, way
