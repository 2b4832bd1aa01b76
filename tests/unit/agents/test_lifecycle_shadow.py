"""What lifecycle does with signals of candidates in shadow: no alert, no state of one, and nothing kept at rest."""

from __future__ import annotations

import pytest
from faust.types import TP
from tests.unit.agents.app_double import App, Rules, batch
from tests.unit.agents.tables_double import Crash, Outbox, Table

from tocsin.agents.lifecycle import Lifecycle
from tocsin.agents.run_table import RunTable
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import encode_document
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate
from tocsin.schemas.signal import Evidence, Signal, SignalKind
from tocsin.schemas.topics import Topics

TOPICS = Topics()
SIGNALS = TP(TOPICS.signals, 0)
AT_MS = 1_700_000_000_000
LABELS = {"service": "api"}
RULE = Rule(id="slow", metric_type="m", threshold=5)
CANDIDATE = Candidate.of(RULE, AT_MS, AT_MS + 1_000)


def book() -> RuleBook:
    found = RuleBook()
    for offset, rule in enumerate((RULE, CANDIDATE)):
        assert found.append(offset, rule.id.encode(), encode_document(rule)) is None
    return found


def signal(rule: Rule, kind: SignalKind, after_ms: int) -> bytes:
    at_ms, revision = AT_MS + after_ms, int(rule is CANDIDATE)
    evidence = Evidence("m", (at_ms, at_ms), 1)
    fingerprint = alert_fingerprint(rule.id, LABELS)
    return codec.encode(
        Signal(fingerprint, kind, rule.id, revision, (revision, at_ms, 0), AT_MS, at_ms, LABELS, 9.0, evidence)
    )


class World:
    """One lifecycle agent on a table in memory."""

    def __init__(self) -> None:
        self.outbox, self.table = Outbox(), Table()
        self.start()

    def start(self) -> None:
        self.runs = RunTable(self.outbox, self.table)  # type: ignore[arg-type]
        self.lifecycle = Lifecycle(App(), self.runs, TOPICS, book())  # type: ignore[arg-type]

    async def take(self, first: int, *signals: bytes) -> None:
        await self.lifecycle.take(SIGNALS, [batch(SIGNALS, first, list(signals))], Rules())  # type: ignore[arg-type]

    def said(self, topic: str) -> list[AlertEvent]:
        return [codec.decode(AlertEvent, value) for name, _, value in self.outbox.records if name == topic and value]


async def test_a_candidate_has_no_alert_and_no_state_of_one() -> None:
    world = World()
    await world.take(0, signal(CANDIDATE, "firing", 0))
    assert {name for name, _, _ in world.outbox.records} == {TOPICS.shadow_alerts}
    await world.take(1, signal(RULE, "firing", 1), signal(CANDIDATE, "ended", 2))
    assert [(event.type, event.fingerprint) for event in world.said(TOPICS.alerts)] == [
        ("firing", alert_fingerprint("slow", LABELS))
    ]
    assert [event.type for event in world.said(TOPICS.shadow_alerts)] == ["firing", "resolved"]
    assert [key for name, key, _ in world.outbox.records if name == TOPICS.alert_state] == [
        alert_fingerprint("slow", LABELS).encode()
    ]


async def test_nothing_is_kept_of_a_candidate_at_rest_and_a_repeat_says_the_same() -> None:
    world = World()
    signals = [signal(CANDIDATE, "pending", 0), signal(CANDIDATE, "firing", 5), signal(CANDIDATE, "ended", 9)]
    await world.take(0, *signals[:2])
    assert world.runs.get(0, alert_fingerprint("shadow/slow", LABELS)) is not None
    await world.take(2, *signals[2:])
    (kept,) = world.table.data.partitions.values()
    assert not [name for name in kept if name.startswith(b"entry/")]
    before = [event.id for event in world.said(TOPICS.shadow_alerts)]
    await world.take(0, *signals)
    assert {event.id for event in world.said(TOPICS.shadow_alerts)} == set(before)
    assert len(before) == 3


@pytest.mark.parametrize("survived", range(8))
async def test_a_crash_at_any_record_loses_nothing_a_candidate_said(survived: int) -> None:
    world = World()
    signals = [signal(CANDIDATE, "firing", 0), signal(CANDIDATE, "ended", 9), signal(CANDIDATE, "firing", 12)]
    world.outbox.until_crash = survived
    try:
        await world.take(0, *signals)
    except Crash:
        world.outbox.until_crash = None
        world.table = world.outbox.recovered()
        world.start()
        await world.take(0, *signals)
    said = {event.id: (event.type, event.updated_at) for event in world.said(TOPICS.shadow_alerts)}
    assert [kind for kind, _ in sorted(said.values(), key=lambda one: one[1])] == ["firing", "resolved", "firing"]
