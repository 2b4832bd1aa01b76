"""kill -9 of route and deliver while policies escalate: no step is lost, none is taken twice, and no timer moves.

TOCSIN_TEST_KILLS is how often each of both is killed (2 unless set); TOCSIN_TEST_SEED chooses the moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
from tests.faults.world import READY_S, Shape, World, world

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode
from tocsin.schemas.decision import Decision
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.rule import Rule
from tocsin.testing import collect, eventually, pause

KILLS = int(os.environ.get("TOCSIN_TEST_KILLS", "2"))
SEED = os.environ.get("TOCSIN_TEST_SEED", "1")
VICTIMS = ("route", "deliver")
PACE_S = 0.3  # between two steps of the load: an alert fires for nine seconds, so that route comes back meanwhile
WAITS = ("0s", "700ms", "700ms", "700ms")
POLICY = EscalationPolicy.model_validate(
    {"id": "page", "pause": "1s", "steps": [{"wait": wait, "notify": ["hook"]} for wait in WAITS]}
)
RULE = Rule.model_validate({"id": "now", "metric_type": "load", "threshold": 50, "escalation_policy": "page"})
SHAPE = Shape(rules=(RULE,), policies=(POLICY,))
Episode = tuple[str, str]


def episodes(events: Sequence[AlertEvent]) -> dict[Episode, list[AlertEvent]]:
    """Events by alert and beginning, in their order; what lies on the topic again is there once."""
    found: defaultdict[Episode, dict[str, AlertEvent]] = defaultdict(dict)
    for event in sorted(events, key=lambda event: event.sequence):
        found[event.fingerprint, event.starts_at][event.id] = event
    return {episode: list(by_id.values()) for episode, by_id in found.items()}


async def acknowledge(at: World, until: asyncio.Event, chance: random.Random) -> int:
    """Somebody takes care of one alert after the other; how many took it."""
    taken = 0
    while not until.is_set():
        await pause(0.5)
        try:
            async with at.session.get("/api/v1/alerts/active?status=firing&limit=100") as answer:
                firing = (await answer.json())["items"]
            if firing:
                path = f"/api/v1/alerts/{chance.choice(firing)['fingerprint']}/acknowledge"
                async with at.session.post(path, json={}, timeout=aiohttp.ClientTimeout(5)) as answer:
                    taken += answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            continue  # nobody answers while route is gone
    return taken


async def kill(at: World, victim: str, chance: random.Random) -> None:
    for _ in range(KILLS):
        await pause(chance.uniform(0.5, 4.0))
        await at.services[victim].kill()
        await at.services[victim].start(ready_s=READY_S)


async def decided(at: World) -> dict[str, Decision]:
    """What was decided about policies, by id."""
    found = [decode(Decision, one.value) for one in await collect(at.kafka, at.topics.decisions)]
    return {one.id: one for one in found if one.policy}


async def test_steps_are_taken_in_order_once_and_when_they_are_due(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    base_ms = int(time.time() * 1_000) - 600_000
    done = asyncio.Event()
    async with world(kafka, tmp_path / "killed", topic_prefix, base_ms, SHAPE) as killed:
        playing = asyncio.create_task(killed.play(done, at_least=60, wall_s=PACE_S))
        caring = asyncio.create_task(acknowledge(killed, done, random.Random(SEED)))
        await asyncio.gather(*(kill(killed, victim, random.Random(SEED + victim)) for victim in VICTIMS))
        done.set()
        await playing
        cared = await caring
        found = episodes(await killed.settled())
        open_ = {name for name, events in found.items() if events[-1].status == "firing"}

        async def over() -> bool:
            said = {one.event_id for one in (await decided(killed)).values() if one.outcome == "policy over"}
            return said >= {found[name][-1].id for name in open_}

        await eventually(over, 60, "every policy of an alert that nobody answered is over", poll_s=0.5)
        arrived = await killed.told()
        decisions = await decided(killed)
    assert open_
    assert cared
    for name, events in found.items():
        _judge_events(events, whole=name in open_)
    _judge_timers(list(decisions.values()), found)
    taken = sum(event.type == "escalated" for events in found.values() for event in events)
    print(  # noqa: T201 - with -s, for the record
        f"seed {SEED}: {KILLS} kills of each of {', '.join(VICTIMS)}; {len(found)} episodes, {taken} steps beyond the "
        f"first, {cared} acknowledged, {len(open_)} unanswered to the end; {len(arrived)} notifications, "
        f"{arrived.total() - len(arrived)} repeated")  # fmt: skip


def _judge_events(events: Sequence[AlertEvent], *, whole: bool) -> None:
    """Steps in order, none twice, none after somebody answered, and all of them where nobody did."""
    steps = [event.escalation.step for event in events if event.type == "escalated" and event.escalation]
    assert steps == list(range(2, len(steps) + 2)), [event.type for event in events]
    kinds = [event.type for event in events]
    for last in ("acknowledged", "resolved"):
        assert "escalated" not in kinds[kinds.index(last) :] if last in kinds else True
    assert not whole or len(steps) == len(WAITS) - 1


def _judge_timers(decisions: Sequence[Decision], found: Mapping[Episode, Sequence[AlertEvent]]) -> None:
    """Each step waits until one time, however often route began anew, and is taken then or later, once."""
    episode_of = {event.id: name for name, events in found.items() for event in events}
    due: defaultdict[tuple[Episode, int], set[str]] = defaultdict(set)
    sent: defaultdict[tuple[Episode, int], list[str]] = defaultdict(list)
    for one in decisions:
        place = episode_of[one.event_id], one.step
        if one.outcome == "waiting" and one.until:
            due[place].add(one.until)
        elif one.outcome == "sent":
            sent[place].append(one.at)
    assert {place: times for place, times in due.items() if len(times) > 1} == {}
    assert Counter(map(len, sent.values())).keys() == {1}
    early = [place for place, times in sent.items() if place[1] > 1 and times[0] < min(due[place])]
    assert early == []
