"""The invariants of marks: what they say is so. Nothing that fired no later comes behind them."""

from collections.abc import Iterator
from typing import NamedTuple

from tocsin.engine.simulation.broker import SIGNALS, Violation
from tocsin.engine.simulation.routing import alert_in
from tocsin.engine.simulation.world import World
from tocsin.schemas import codec
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.instant import format_instant
from tocsin.schemas.mark import Passed, WorkedOff
from tocsin.schemas.signal import Signal


class _Fired(NamedTuple):
    """A signal that fires, where it lies for the first time, and the samples partition that it comes from."""

    signal: Signal
    partition: int
    offset: int
    source: int


def at_the_end(world: World) -> None:
    """What must hold of every mark there ever was."""
    fired = list(_fired(world))
    in_time = [one for one in fired if not _is_behind(world, one.signal)]
    written = _written(world)
    said: dict[str, int] = {}
    for number, name, mark in world.broker.marks:
        if isinstance(mark, Passed) and mark.watermark_ms > said.get(name, 0):
            said[name] = mark.watermark_ms
            _passed(name, mark, in_time)
        elif isinstance(mark, WorkedOff):
            _worked_off(number, name, mark, fired, written)


def _fired(world: World) -> Iterator[_Fired]:
    """Of rules that judge each sample by itself: a window fires when it closes, which is later than its end."""
    scenario, known = world.scenario, set[str]()
    plain = {rule.id for rule in scenario.rules if rule.window is None and rule.condition != "absence"}
    for partition, found in world.broker.of_topic(SIGNALS):
        for record in found.records:
            try:
                signal = codec.decode(Signal, record.value)
            except UnreadableRecord:
                continue
            rule, series = scenario.fingerprints.get(signal.fingerprint, ("", 0))
            is_first = signal.id not in known
            known.add(signal.id)
            if is_first and signal.kind == "firing" and signal.reason == "condition" and rule in plain:
                yield _Fired(signal, partition, record.offset, scenario.series[series].partition)


def _is_behind(world: World, signal: Signal) -> bool:
    """Whether its sample came behind the watermark, under a rule that waits for none: no mark speaks of it."""
    if not world.scenario.immediate:
        return False
    found = signal.evidence
    before = (
        at_ms
        for (source, offset), samples in world.produced.items()
        if source == found.partition and offset < (found.offset or 0)
        for _, at_ms, _ in samples
    )
    return signal.at_ms < max(before, default=0)


def _written(world: World) -> dict[tuple[str, str], int]:
    """By an alert, and when it fired: the number of the write that says so on `alert-state`."""
    found: dict[tuple[str, str], int] = {}
    for number, value in world.broker.states:
        event = alert_in(value) if value else None
        if event is not None and event.fired_at:
            found.setdefault((event.fingerprint, event.fired_at), number)
    return found


def _passed(name: str, mark: Passed, fired: list[_Fired]) -> None:
    for one in fired:
        late_ms = max((late.ms for late in mark.late if late.alertname == one.signal.rule_id), default=0)
        passed_ms = mark.watermark_ms - late_ms
        is_missing = one.offset >= mark.ends[one.partition]
        if name == f"evaluate/{one.source}" and one.signal.at_ms <= passed_ms and is_missing:
            raise Violation("marks-are-true", f"{name} passed {mark.watermark_ms}, but {one} comes behind it")


def _worked_off(
    number: int, name: str, mark: WorkedOff, fired: list[_Fired], written: dict[tuple[str, str], int]
) -> None:
    for one in fired:
        if name == f"lifecycle/{one.partition}" and one.offset < mark.position:
            place = one.signal.fingerprint, format_instant(one.signal.at_ms)
            if written.get(place, 0) > number:
                raise Violation("marks-are-true", f"{name} has worked off {mark.position}, but {one} is not written")
