"""Evaluate is away for ten minutes of event time and comes back: the backlog is judged as if it had been on time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.world import READY_S, Shape, World, said, words, world

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode
from tocsin.schemas.instant import format_instant
from tocsin.schemas.rule import Rule
from tocsin.testing import collect, eventually, pause

PATIENCE_S = 8
AWAY, BACK, END = 60, 660, 720  # seconds of event time
LIVE_S = 0.15  # of the wall, for a second of event time
RULES = [
    Rule.model_validate(body | {"metric_type": "load"})
    for body in (
        {"id": "high", "threshold": 50, "duration": "30s"},
        {"id": "gone", "condition": "absence", "absence": {"after": f"{PATIENCE_S}s"}},
        {"id": "told", "threshold": 1_000, "on_no_data": "alert", "no_data_after": f"{PATIENCE_S}s"},
        {"id": "shelf", "group_by": ["shelf"], "aggregation": "max", "threshold": 80, "window": {"size": "10s"}},
    )
]
SHAPE = Shape(processes=("evaluate", "route"), rules=tuple(RULES))


def value(host: str, second: int) -> float | None:
    """What a host says at a second, None for nothing."""
    match host:
        case "silent":
            return 10.0 if second < AWAY - 10 else None
        case "pauses":
            return 10.0 if not 200 <= second < 260 else None
        case "begins":
            return 90.0 if second >= 300 else 10.0
        case "ends":
            return 90.0 if second < 300 else 10.0
        case _:
            return {"fires": 90.0, "rests": 10.0}[host]


HOSTS = ("fires", "rests", "begins", "ends", "pauses", "silent")


async def play(seen: World, begin: int, end: int, wall_s: float = 0.0) -> None:
    for second in range(begin, end):
        for host in HOSTS:
            if (what := value(host, second)) is not None:
                await seen.send("load", what, second * 1_000, {"host": host, "shelf": host[0]})
        await pause(wall_s)
    await seen.producer.flush()


async def fires(seen: World) -> bool:
    events = [decode(AlertEvent, record.value) for record in await collect(seen.kafka, seen.topics.alerts)]
    return any(event.rule_id == "high" and event.labels["host"] == "fires" for event in events)


async def through(seen: World, how: Sequence[str]) -> None:
    """All input, with evaluate away for ten minutes of it: stopped or killed, perhaps again as it catches up."""
    evaluate = seen.services["evaluate"]
    await play(seen, 0, AWAY)
    await eventually(lambda: fires(seen), 60, poll_s=0.2)
    if "stopped" in how:
        assert await evaluate.stop() == 0
    if "killed" in how:
        await evaluate.kill()
    await play(seen, AWAY, BACK)
    live = asyncio.create_task(play(seen, BACK, END, LIVE_S))
    await evaluate.start(ready_s=READY_S)
    if "killed again" in how:
        await evaluate.kill()
        await evaluate.start(ready_s=READY_S)
    await live


@pytest.mark.parametrize("how", [("stopped",), ("killed", "killed again")], ids=" and ".join)
async def test_an_absent_evaluator_is_no_silence_and_changes_no_time(
    kafka: str, tmp_path: Path, topic_prefix: str, how: tuple[str, ...]
) -> None:
    base_ms = int(time.time()) * 1_000 - 1_200_000

    def at(second: int) -> str:
        return format_instant(base_ms + second * 1_000)

    async with world(kafka, tmp_path / "away", topic_prefix, base_ms, SHAPE) as away:
        await through(away, how)
        undisturbed = await away.undisturbed()
        after = await away.settled(undisturbed)
    assert said(after) == said(undisturbed)
    assert words(after) == words(undisturbed)
    seen = {(event.rule_id, event.labels.get("host"), event.type, event.starts_at) for event in after}
    assert {one for one in seen if one[:2] == ("high", "fires")} == {("high", "fires", "firing", at(0))} | {
        ("high", "fires", "pending", at(0))
    }
    for rule in ("gone", "told"):
        starts = {(host, start) for of, host, kind, start in seen if of == rule and kind == "firing"}
        assert len(starts) == len(HOSTS) + 1, "each at its end, and one in between"
    absent = {(host, start) for rule, host, kind, start in seen if rule == "gone" and kind == "firing"}
    last = END - 1 + PATIENCE_S
    assert absent == {
        ("silent", at(AWAY - 11 + PATIENCE_S)), ("pauses", at(199 + PATIENCE_S)), ("pauses", at(last)),
        *((host, at(last)) for host in ("fires", "rests", "begins", "ends")),
    }  # fmt: skip
    assert ("gone", "pauses", "resolved", at(199 + PATIENCE_S)) in seen
    assert ("high", "begins", "firing", at(300)) in seen
    assert ("high", "ends", "resolved", at(0)) in seen
