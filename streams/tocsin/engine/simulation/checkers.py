"""The invariants, a small check each. `Watch` looks at the log while it grows; the rest is asked at the end."""

from typing import Final

import msgspec

from tocsin.engine.evaluate.checkpoint import HEADER
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.frame import Frame
from tocsin.engine.simulation import checkers_marks, checkers_route
from tocsin.engine.simulation.broker import (
    ALERTS,
    CHECKPOINTS,
    COMMANDS,
    DEAD,
    METRICS,
    SAMPLES,
    SIGNALS,
    Violation,
    item_of,
)
from tocsin.engine.simulation.delivering import TYPES
from tocsin.engine.simulation.digest import difference, digest
from tocsin.engine.simulation.evaluating import BuriedSample, EvaluateProcess
from tocsin.engine.simulation.model_alerts import Foreseen
from tocsin.engine.simulation.model_rules import Said
from tocsin.engine.simulation.oracle import Oracle
from tocsin.engine.simulation.routing import BuriedRecord, alert_in, notifications
from tocsin.engine.simulation.world import World
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.rule import Rule, Severity
from tocsin.schemas.signal import Signal

_MAY_FOLLOW: Final = {
    "": ("pending", "firing"),
    "pending": ("pending", "firing"),  # a pending that ended says nothing
    "firing": ("changed", "acknowledged", "resolved"),
    "changed": ("changed", "acknowledged", "unacknowledged", "reminded", "resolved"),
    "acknowledged": ("changed", "acknowledged", "unacknowledged", "reminded", "resolved"),
    "unacknowledged": ("changed", "acknowledged", "resolved"),
    "reminded": ("changed", "acknowledged", "unacknowledged", "reminded", "resolved"),
    "resolved": ("pending", "firing"),
}


class _Header(msgspec.Struct):
    offset: int


_header: Final = msgspec.msgpack.Decoder(_Header)


class Watch:
    """Looks at what was written since it last looked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[int, int] = {}
        self._bytes: dict[str, bytes] = {}
        self._last: dict[str, AlertEvent] = {}
        self._fired: dict[str, AlertEvent] = {}
        self._committed: dict[int, int] = {}

    def look(self) -> None:
        """New alert events, one by one."""
        for partition, found in self._world.broker.of_topic(ALERTS):
            for record in found.read(self._seen.get(partition, 0)):
                value = record.value or b""
                event = alert_in(value)
                known = self._bytes.setdefault(event.id, value)
                if known is value:
                    self._check(event)
                elif known != value:
                    raise Violation("same-bytes", f"event {event.id} was written with other bytes")
            self._seen[partition] = found.end

    def _check(self, event: AlertEvent) -> None:
        before = self._last.get(event.fingerprint)
        if event.sequence != (before.sequence if before else 0) + 1:
            raise Violation("sequence", f"{event.fingerprint} goes on with number {event.sequence}")
        if event.type not in _MAY_FOLLOW[before.type if before else ""]:
            raise Violation("automaton", f"{event.fingerprint}: {event.type} after {before and before.type}")
        if event.type == "firing" and event.reason == "condition":
            self._check_firing(event, before)
        if event.type == "resolved" and event.reason == "condition":
            self._check_recovery(event)
        if event.type == "firing":
            self._fired[event.fingerprint] = event
        self._last[event.fingerprint] = event

    def _rule(self, event: AlertEvent) -> Rule:
        found = [rule for offset, _, rule in self._world.edits if offset == event.rule_revision and rule is not None]
        if not found:
            raise Violation("one-revision", f"{event.id} names a revision that was never written")
        return found[0]

    def _check_firing(self, event: AlertEvent, last: AlertEvent | None) -> None:
        rule, at_ms = self._rule(event), parse_instant(event.updated_at)
        holds = [rule.hold_ms(n) for n, step in enumerate(rule.steps) if str(step.severity) == event.severity]
        if at_ms - parse_instant(event.starts_at) < holds[0] and not _is_worse_again(event, last):
            raise Violation("held", f"{event.id} fires before its condition held for {holds[0]} ms")
        before = self._fired.get(event.fingerprint)
        if before is None or before.reason != "condition" or before.rule_revision != event.rule_revision:
            return
        ranks = [str(step.severity) for step in rule.steps]
        if ranks.index(event.severity) <= ranks.index(before.severity):
            gap_ms = at_ms - parse_instant(before.updated_at)
            if gap_ms < rule.cooldown:
                raise Violation("cooldown", f"{event.id} fires {gap_ms} ms after {before.id}")

    def _check_recovery(self, event: AlertEvent) -> None:
        rule = self._rule(event)
        recovery = next(step for step in rule.steps if str(step.severity) == event.severity).recovery_threshold
        if rule.condition != "threshold" or recovery is None or event.value is None or rule.on_no_data == "alert":
            return  # data that came back are judged as if nothing had been
        still = {"gt": event.value > recovery, "gte": event.value >= recovery, "lt": event.value < recovery,
                 "lte": event.value <= recovery}  # fmt: skip
        if still.get(rule.operator, False):
            raise Violation("recovery", f"{event.id} resolves at {event.value}, which has not recovered")

    def committed(self) -> None:
        """No samples offset is committed beyond what a durable checkpoint holds."""
        broker = self._world.broker
        for partition in range(self._world.scenario.partitions):
            offset = broker.position("evaluate", (SAMPLES, partition))
            if offset == self._committed.get(partition, 0):
                continue
            self._committed[partition] = offset
            headers = [r.value for r in broker.partition(CHECKPOINTS, partition).records if r.key == HEADER.encode()]
            durable = _header.decode((headers[-1] or b"")[4:]).offset if headers else -1
            if offset > durable + 1:
                raise Violation(
                    "commit-behind-checkpoint", f"{SAMPLES}/{partition}: {offset} committed, {durable} saved"
                )


def _is_worse_again(event: AlertEvent, last: AlertEvent | None) -> bool:
    """Whether it begins anew as it got worse than what a person resolved: its condition holds for longer than it."""
    return (
        event.starts_at == event.updated_at
        and last is not None
        and last.reason != "condition"
        and Severity(event.severity).rank > Severity(last.severity).rank
    )


def at_the_end(world: World) -> None:
    """What must hold once all faults have stopped, and everything was taken."""
    oracle = Oracle(world)
    for check in (_samples, _signals, _events, _dead_letters, _bounded, _states, _replays):
        check(world, oracle)
    checkers_marks.at_the_end(world)
    if "route" in world.groups:
        checkers_route.at_the_end(world)


def _samples(world: World, oracle: Oracle) -> None:
    """Every sample that was written reached evaluate once, and nothing else did."""
    if oracle.taken != world.produced:
        wrong = sorted(p for p in {*oracle.taken, *world.produced} if oracle.taken.get(p) != world.produced.get(p))
        raise Violation("every-sample-once", f"{METRICS} (partition, offset) {wrong[:3]}")


def _signals(world: World, oracle: Oracle) -> None:
    found: dict[str, dict[tuple[int, int, int], tuple[bytes, Said]]] = {}
    for record in world.broker.records(SIGNALS):
        try:
            signal = codec.decode(Signal, record.value)
        except UnreadableRecord:
            continue
        value = record.value or b""
        known = found.setdefault(signal.fingerprint, {})
        if known.setdefault(signal.order, (value, _said(signal)))[0] != value:
            raise Violation("same-bytes", f"signal {signal.fingerprint} {signal.order} was written with other bytes")
    for fingerprint in sorted({*found, *oracle.said}):
        said = [found[fingerprint][order][1] for order in sorted(found.get(fingerprint, ()))]
        _compare("signal", f"{fingerprint} ({_whose(world, fingerprint)})", oracle.said.get(fingerprint, []), said)


def _whose(world: World, fingerprint: str) -> str:
    rule, series = world.scenario.fingerprints.get(fingerprint, ("by hand", 0))
    return f"{rule}, series {series}"


def _said(signal: Signal) -> Said:
    measured = signal.evidence.facts.get("value")
    return Said(
        signal.kind, signal.at_ms, signal.since_ms, signal.value, signal.level, signal.reason, signal.revision, measured
    )


def _compare(kind: str, whose: str, wanted: list[Said] | list[Foreseen], found: list[Said] | list[Foreseen]) -> None:
    if wanted == found:
        return
    for index, one in enumerate(wanted):
        if index >= len(found):
            raise Violation("no-lost-transition", f"{kind} {index + 1} of {whose} is missing: {one}")
        if found[index] != one:
            name = "none-invented" if found[index] not in wanted else "no-lost-transition"
            raise Violation(name, f"{kind} {index + 1} of {whose} is {found[index]}, not {one}")
    raise Violation("none-invented", f"{kind} {len(wanted) + 1} of {whose} should not be: {found[len(wanted)]}")


def _foreseen(event: AlertEvent) -> Foreseen:
    by = event.acknowledged.by if event.acknowledged else None
    return Foreseen(
        event.id, event.type, event.status, event.sequence, event.severity, event.starts_at, event.updated_at,
        event.value, event.reason, event.actor, by,
    )  # fmt: skip


def _events(world: World, oracle: Oracle) -> None:
    found: dict[str, dict[str, AlertEvent]] = {}
    for record in world.broker.records(ALERTS):
        event = alert_in(record.value)
        found.setdefault(event.fingerprint, {}).setdefault(event.id, event)
    for fingerprint in sorted({*found, *oracle.alerts}):
        wanted = oracle.alerts[fingerprint].events if fingerprint in oracle.alerts else []
        events = [_foreseen(event) for event in found.get(fingerprint, {}).values()]
        _compare("event", f"{fingerprint} ({_whose(world, fingerprint)})", wanted, events)


def _dead_letters(world: World, _oracle: Oracle) -> None:
    """What is no sample or no record lies on the dead-letter topic, and nothing else does."""
    samples: set[tuple[int, int]] = set()
    records: set[tuple[str, int, int]] = set()
    for record in world.broker.records(DEAD):
        value = msgspec.msgpack.decode(record.value or b"")
        if isinstance(value[0], int):
            buried = msgspec.convert(value, BuriedSample)
            samples.add((buried.partition, buried.offset))
        else:
            letter = msgspec.convert(value, BuriedRecord)
            records.add((letter.topic, letter.partition, letter.offset))
    if samples != world.refused:
        raise Violation("dead-letters", f"{METRICS}: {sorted(samples ^ world.refused)[:3]} are wrong")
    inputs = {place for place in records if place[0] in (SIGNALS, COMMANDS)}
    if inputs != world.garbled:
        raise Violation("dead-letters", f"{sorted(inputs ^ world.garbled)[:3]} are wrong")
    if any(place[0] not in map(notifications, TYPES) for place in records - inputs):
        raise Violation("dead-letters", "something was given up that nobody refused")


def _bounded(world: World, _oracle: Oracle) -> None:
    """Nothing is left over: no waiting sample, no more cells than pairs of rule and series."""
    pairs = len(world.scenario.series) * len(world.scenario.rules)
    for process in world.processes["evaluate"]:
        assert isinstance(process, EvaluateProcess)
        for state in process.states.values():
            cells = sum(len(judge.cells) for lane in state.lanes.values() for judge in lane.judges.values())
            waiting = sum(len(found) for flow in state.flows.values() for found in flow.waiting.values())
            if cells > pairs or waiting:
                raise Violation("bounded", f"{cells} cells for {pairs} pairs, and {waiting} samples wait")


def _states(world: World, oracle: Oracle) -> None:
    """Of the states of an alert the one with the highest number is its last event, whatever was said late."""
    latest: dict[str, AlertEvent] = {}
    for event in (alert_in(value) for _, value in world.broker.states if value):
        if event.fingerprint not in latest or event.sequence > latest[event.fingerprint].sequence:
            latest[event.fingerprint] = event
    for fingerprint, alert in oracle.alerts.items():
        status = latest[fingerprint].status if fingerprint in latest else ""
        is_none = not alert.status and status in ("", "pending", "resolved")
        if status != alert.status and not is_none:
            raise Violation("alert-state", f"{fingerprint} is {alert.status or 'nothing'}, not {status or 'nothing'}")


def _replays(world: World, _oracle: Oracle) -> None:
    """Frames that were applied change nothing when they come again."""
    if world.scenario.seed % 8:
        return
    for process in world.processes["evaluate"]:
        assert isinstance(process, EvaluateProcess)
        for partition, state in process.states.items():
            records = world.broker.partition(SAMPLES, partition).records
            items = [item for item in (item_of(r.value or b"") for r in records) if isinstance(item, Frame)]
            before = digest(state)
            said = evaluate(state, items, state.offset, process.book, world.scenario.timing).signals
            after = digest(state)
            if said or after != before:
                raise Violation(
                    "replay-is-nothing", f"{SAMPLES}/{partition}: {len(said)} said, {difference(before, after)}"
                )
