"""A replay gives, to the byte, what the same samples give live; and the peaks of alerts are those of a plain scan."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, Sample, examples, timed

from tocsin.engine.evaluate.judge import Describe, Judge
from tocsin.engine.evaluate.points import Points
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.peaks import Peak, Peaks
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.replay import Batch, Replay
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import encode
from tocsin.schemas.instant import format_instant
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

SECOND_MS = 1_000
WINDOWS: list[dict[str, Any]] = [
    {"size": "5s"},
    {"type": "hopping", "size": "4s", "step": "1s"},
    {"type": "sliding", "size": "3s"},
    {"type": "session", "gap": "2s"},
    {"type": "count", "samples": 3},
]
whole = st.integers(-6, 6).map(float)
gaps = st.sampled_from([0, 1, 40, 250, 999, 1_000, 2_500, 4_700, 5_000, 5_600, 7_000, 61_000])
samples = st.lists(st.builds(Sample, st.integers(0, 3), gaps, whole), min_size=1, max_size=50)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    body: dict[str, Any] = {"id": draw(st.sampled_from(["r", "other"])), "metric_type": "m"}
    body["condition"] = draw(st.sampled_from(["threshold", "threshold", "range", "absence", "change"]))
    if body["condition"] == "range":
        body |= {"lower": -2, "upper": 2, "inside": draw(st.booleans())}
    elif body["condition"] != "absence":
        body |= {"threshold": draw(whole), "operator": draw(st.sampled_from(["gt", "lte", "eq"]))}
    if body["condition"] == "absence":
        body["absence"] = draw(st.sampled_from([{"after": "5s"}, {"after": "2500ms"}, {}]))
    elif draw(st.booleans()):
        body["window"] = draw(st.sampled_from(WINDOWS))
        body["aggregation"] = draw(st.sampled_from(["avg", "max", "count", "p90"]))
    if body["condition"] == "change":
        body["change"] = {"against": "3s", "unit": "absolute"}
    body["duration"] = draw(st.sampled_from(["0s", "1s", "3s"]))
    body["on_no_data"] = draw(st.sampled_from(["keep", "ok", "alert"]))
    body["no_data_after"] = draw(st.sampled_from(["5s", "6s"]))
    body["allowed_lateness"] = draw(st.sampled_from(["0s", "0s", "2s"]))
    body["keep_firing_for"] = draw(st.sampled_from(["0s", "2s"]))
    return Rule.model_validate(body)


def labels_of(sample: Sample) -> dict[str, str]:
    return {"series": str(sample.series)}


def live(rule: Rule, given_samples: Sequence[Sample], cuts: Sequence[int], until_ms: int) -> Pipeline:
    """Every sample arrives at its time, and time goes on by as many whole seconds as `cuts` say, in turn."""
    times = timed(given_samples)
    pipeline = Pipeline([rule])
    clock_ms = second_before(times[0][0])
    pipeline.run(clock_ms)
    for at_ms, sample in times:
        body = {"name": "m", "value": sample.value, "timestamp": at_ms, "labels": labels_of(sample)}
        pipeline.publish(json.dumps(body).encode(), at_ms, b"key")
    turn = 0
    while clock_ms < until_ms:
        clock_ms = min(clock_ms + cuts[turn % len(cuts)] * SECOND_MS, until_ms)
        pipeline.run(clock_ms)
        turn += 1
    return pipeline


def batch_of(interner: Interner, times: Sequence[tuple[int, Sample]]) -> Batch:
    numbers = [interner.number("m", orjson.dumps(labels_of(sample)), None) for _, sample in times]
    at_ms = np.array([at_ms for at_ms, _ in times], np.int64)
    return Batch(np.array(numbers, np.int64), at_ms, np.array([sample.value for _, sample in times]))


def replayed(
    rule: Rule, given_samples: Sequence[Sample], size: int, as_written: bool = False
) -> tuple[list[Signal], list[AlertEvent]]:
    interner, times = Interner(1), timed(given_samples)
    replay = Replay([rule], interner, as_written)
    for begin in range(0, len(times), size):
        replay.take(batch_of(interner, times[begin : begin + size]))
    replay.finish()
    return replay.drain()


def second_before(at_ms: int) -> int:
    return (at_ms - 1) // SECOND_MS * SECOND_MS


def until(events: Sequence[AlertEvent], end: str) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for event in events:
        if event.updated_at <= end:
            found[event.fingerprint].append(encode(event))
    return dict(found)


@examples(60)
@given(rules(), samples, st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60), st.booleans())
def test_a_replay_gives_the_events_of_a_live_run(
    rule: Rule, given_samples: list[Sample], cuts: list[int], size: int, as_written: bool
) -> None:
    end_ms = timed(given_samples)[-1][0]
    lived = live(rule, given_samples, cuts, second_before(end_ms) + rule.lateness_ms + 7 * SECOND_MS)
    _, events = replayed(rule, given_samples, size, as_written)
    end = "9999"
    if rule.condition == "absence" or rule.on_no_data != "keep":
        end = format_instant(end_ms)  # what silence after the end means is not said in a replay
    assert until(events, end) == until(lived.events, end)
    assert not lived.dead


def test_every_series_that_ends_is_judged_up_to_its_silence() -> None:
    window = {"window": {"type": "hopping", "size": "60s", "step": "10s"}, "aggregation": "count"}
    body = {"id": "r", "metric_type": "m", "operator": "lte", "threshold": 9, "on_no_data": "ok"}
    rule = Rule.model_validate({**body, **window, "no_data_after": "61s"})
    ends = {0: 200, 1: 50, 2: 5}  # seconds
    given_samples = [
        Sample(series, 1_000 if series == 0 else 0, 1.0)
        for at_s in range(200)
        for series in (0, 1, 2)
        if at_s < ends[series]
    ]
    signals, events = replayed(rule, given_samples, 1_000)
    assert [one.kind for one in signals if one.labels["series"] == "1"] == ["firing", "ended", "firing", "ended"]
    end_ms = timed(given_samples)[-1][0]
    lived = live(rule, given_samples, [1], second_before(end_ms) + 7 * SECOND_MS)
    assert until(events, format_instant(end_ms)) == until(lived.events, format_instant(end_ms))


class Scan:
    """Every judged value, kept."""

    def __init__(self) -> None:
        self.peaks = Peaks()
        self.values: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)

    def watch(self, judge: Judge, points: Points, describe: Describe) -> None:
        self.peaks.watch(judge, points, describe)
        owners = points.owners().tolist()
        for slot, at_ms, value in zip(owners, points.at_ms.tolist(), points.values.tolist(), strict=True):
            self.values[describe(slot).labels["series"]].append((at_ms, value))


@examples(60)
@given(rules(), samples, st.integers(1, 60))
def test_a_peak_is_the_worst_value_from_beginning_to_end(rule: Rule, given_samples: list[Sample], size: int) -> None:
    rule = rule.model_copy(update={"on_no_data": "keep"})
    interner, times, scan = Interner(1), timed(given_samples), Scan()
    replay = Replay([rule], interner, watch=scan.watch)
    signals: list[Signal] = []
    found: dict[tuple[str, int], Peak] = {}
    for begin in range(0, len(times), size):
        replay.take(batch_of(interner, times[begin : begin + size]))
        some, _ = replay.drain()
        found |= scan.peaks.settle(some)
        signals += some
    began: dict[str, int] = {}
    for signal in signals:
        if signal.kind == "ended":
            begin_ms = began.pop(signal.fingerprint)
            inside = [v for at_ms, v in scan.values[signal.labels["series"]] if begin_ms <= at_ms <= signal.at_ms]
            peak = found[signal.fingerprint, signal.at_ms]
            assert (peak.lowest, peak.highest) == (min(inside), max(inside))
        else:
            began.setdefault(signal.fingerprint, signal.since_ms)


JOINT: list[tuple[dict[str, Any], float | None]] = [
    ({"window": {"size": "5s"}, "aggregation": "max", "group_by": ["zone"], "threshold": 5}, 9),
    ({"condition": "ratio", "ratio": {"per": "m"}, "window": {"size": "5s"}, "threshold": 0.5}, 1),
    (
        {
            "condition": "burn_rate",
            "burn_rate": {
                "total": "m",
                "objective": 75,
                "counters": False,
                "windows": [{"long": "10s", "short": "5s", "factor": 3}],
            },
        },
        4,
    ),
    ({"condition": "absence", "absence": {"after": "8s"}, "group_by": ["zone"]}, None),
    ({"condition": "composite", "conditions": ["other"], "group_by": ["zone"]}, None),
]


@pytest.mark.parametrize(("body", "peak"), JOINT, ids=["group", "ratio", "burn_rate", "absence", "composite"])
def test_alerts_of_groups_have_peaks_too(body: dict[str, Any], peak: float | None) -> None:
    other = Rule.model_validate({"id": "other", "metric_type": "m", "threshold": 5})
    metric = {} if body.get("condition") == "composite" else {"metric_type": "m"}
    rule = Rule.model_validate({"id": "r", **metric, **body})
    interner, peaks = Interner(1), Peaks()
    replay = Replay([rule, other], interner, watch=peaks.watch)
    number = interner.number("m", orjson.dumps({"zone": "a"}), None)
    values = np.array([1, 8, 9, 7] + [1] * 8 + [8] * 3, float)
    at_ms = BEGIN_MS + np.arange(len(values)) * SECOND_MS
    at_ms[-3:] += 10 * SECOND_MS
    replay.take(Batch(np.full(len(values), number), at_ms, values))
    replay.finish()
    signals, _ = replay.drain()
    ended = peaks.settle(signals)
    mine = [signal for signal in signals if signal.rule_id == "r"]
    assert "firing" in [signal.kind for signal in mine]
    name = mine[0].fingerprint
    found = [one for (ended_name, _), one in ended.items() if ended_name == name]
    assert (found[0] if found else peaks.open(name)).worst(rule) == peak


@pytest.mark.parametrize("policy", ["alert", "ok"])
@pytest.mark.parametrize("gap_ms", [6_900, 7_000, 8_000, 12_000])
def test_the_silence_of_a_group_is_that_of_its_samples(gap_ms: int, policy: str) -> None:
    windows = [{"long": "10s", "short": "5s", "factor": 2}]
    body = {"burn_rate": {"total": "m", "objective": 50, "counters": False, "windows": windows}}
    silence = {"on_no_data": policy, "no_data_after": "6s"}
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "condition": "burn_rate", **body, **silence})
    given_samples = [Sample(0, gap, 1.0) for gap in (0, gap_ms, 30_000)]
    end_ms = timed(given_samples)[-1][0]
    outcomes = [
        until(live(rule, given_samples, cuts, second_before(end_ms) + 20_000).events, format_instant(end_ms))
        for cuts in ([1], [2], [9])
    ]
    outcomes += [until(replayed(rule, given_samples, size)[1], format_instant(end_ms)) for size in (1, 100)]
    assert outcomes[0]
    assert all(one == outcomes[0] for one in outcomes)


def test_what_was_silent_for_days_has_its_peak() -> None:
    body = {"metric_type": "m", "threshold": 5, "on_no_data": "ok", "allowed_lateness": "1s"}
    interner, peaks = Interner(1), Peaks()
    replay = Replay([Rule.model_validate({"id": "r", **body})], interner, watch=peaks.watch)
    gone, goes_on = (interner.number("m", orjson.dumps({"series": name}), None) for name in "ab")
    later_ms = 90_000_000 + np.arange(70) * SECOND_MS
    at_ms = BEGIN_MS + np.concatenate(([0, 1_000, 2_000], later_ms))
    numbers = np.where(at_ms < BEGIN_MS + 3_000, gone, goes_on)
    replay.take(Batch(numbers, at_ms, np.concatenate(([8.0, 9.0, 7.0], np.ones(70)))))
    (peak,) = peaks.settle(replay.drain()[0]).values()
    assert peak.highest == 9


def test_what_a_rule_on_groups_missed_is_counted_too() -> None:
    interner = Interner(1)
    numbers = np.array([interner.number("m", orjson.dumps({"series": str(one)}), None) for one in range(5)])
    body = {"id": "r", "metric_type": "m", "threshold": 1, "window": {"size": "5s"}, "group_by": ["zone"]}
    replay = Replay([Rule.model_validate({**body, "max_series": 2})], interner)
    at_ms = BEGIN_MS + np.array([0, 1, 2, 3, 60_000])
    replay.take(Batch(numbers, at_ms, np.ones(5)))
    replay.finish()
    assert replay.missed()["r"].refused == 3
