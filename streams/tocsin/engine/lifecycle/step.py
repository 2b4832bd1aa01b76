"""Lifecycle's step: a run of signals, commands and ticks in, changed records and events out."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.transitions import on_command, on_signal, on_time
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

_COMMANDS_KEPT: Final = 8  # a command that is sent again comes soon after
FindRule = Callable[[str, int], Rule | None]
FindRecord = Callable[[str], AlertRecord | None]
FindDue = Callable[[int], Collection[str]]


@dataclass(frozen=True, slots=True)
class NumberedCommand:
    """A command and its offset, which only grows for one fingerprint."""

    offset: int
    command: Command


@dataclass(slots=True)
class Changes:
    """What a run did: the records as they are now, and the events for `alerts`, in order. Those of candidates in shadow
    are apart: nobody is to hear them. Alerts in `failed`, with the reason, have a timer that cannot be applied."""

    records: dict[str, AlertRecord] = field(default_factory=dict)
    events: list[AlertEvent] = field(default_factory=list)
    shadows: list[AlertEvent] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def states(self) -> Iterator[tuple[str, AlertEvent | None]]:
        """What is to be said on `alert-state`, by fingerprint; None where there is no alert.

        An alert that is over and gone within one run is over first: a reader orders states by their numbers, and
        none has no number.
        """
        over = {event.fingerprint: event for event in self.events if event.status == "resolved"}
        for name, record in self.records.items():
            if is_shadow(name):
                continue
            if record.event is None and name in over:
                yield name, over[name]
            yield name, record.event


Input = Signal | NumberedCommand | RouteTick


def step(inputs: Iterable[Input], find: FindRecord, find_rule: FindRule, find_due: FindDue = lambda _: ()) -> Changes:
    """Apply a run of inputs. `find` gives stored records, which are changed; `find_rule` a rule at a revision;
    `find_due` the fingerprints of stored records with a timer that is due by a time.

    An input that is in its record already changes nothing: a replay after a crash gives no event twice.
    """
    changes = Changes()
    for item in inputs:
        if isinstance(item, RouteTick):
            _pass(changes, item.at_ms, find, find_due)
            continue
        fingerprint = item.command.fingerprint if isinstance(item, NumberedCommand) else item.fingerprint
        record = changes.records.get(fingerprint) or find(fingerprint) or AlertRecord(fingerprint)
        if _is_known(record, item):
            continue
        changes.records[fingerprint] = record
        (changes.shadows if is_shadow(fingerprint) else changes.events).extend(_apply(record, item, find_rule))
    return changes


def _pass(changes: Changes, now_ms: int, find: FindRecord, find_due: FindDue) -> None:
    """Time passes: whatever is due by now happens, in the order in which it was due."""
    due = dict.fromkeys(find_due(now_ms))
    due |= dict.fromkeys(name for name, record in changes.records.items() if 0 < record.wake_ms <= now_ms)
    events: list[AlertEvent] = []
    for fingerprint in due:
        known = changes.records.get(fingerprint)
        record = known or find(fingerprint)
        if record is None:
            continue
        try:
            events += list(on_time(record, now_ms))
        except Exception as error:
            if known is not None:
                raise
            # It fails at every tick, and must not keep the timers of all others waiting.
            changes.failed[fingerprint] = f"{type(error).__name__}: {error}"
        else:
            changes.records[fingerprint] = record
    for event in sorted(events, key=lambda event: (event.updated_at, event.fingerprint, event.sequence)):
        (changes.shadows if is_shadow(event.fingerprint) else changes.events).append(event)


def _is_known(record: AlertRecord, item: Signal | NumberedCommand) -> bool:
    if isinstance(item, Signal):
        return item.order <= record.order
    return item.offset <= record.command_offset or item.command.id in record.command_ids


def _apply(record: AlertRecord, item: Signal | NumberedCommand, find_rule: FindRule) -> Iterator[AlertEvent]:
    """What an input does. What was due before a command was given goes first: both are by people's clocks."""
    if isinstance(item, NumberedCommand):
        yield from on_time(record, item.command.at_ms)
    event = _event(record, item, find_rule)
    if event is not None:
        yield event


def _event(record: AlertRecord, item: Signal | NumberedCommand, find_rule: FindRule) -> AlertEvent | None:
    if isinstance(item, NumberedCommand):
        record.command_offset = item.offset
        record.command_ids = (*record.command_ids, item.command.id)[-_COMMANDS_KEPT:]
        record.touched_ms = max(record.touched_ms, item.command.at_ms)
        return on_command(record, item.command)
    record.order = item.order
    record.touched_ms = max(record.touched_ms, item.at_ms, item.written_ms)
    rule = None if item.notice else find_rule(item.rule_id, item.revision)
    return on_signal(record, item, rule)
