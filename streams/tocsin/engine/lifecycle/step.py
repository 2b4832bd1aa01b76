"""Lifecycle's step: a run of signals or commands in, changed records and events out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.transitions import on_command, on_signal
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

_COMMANDS_KEPT: Final = 8  # a command that is sent again comes soon after
FindRule = Callable[[str, int], Rule | None]
FindRecord = Callable[[str], AlertRecord | None]


@dataclass(frozen=True, slots=True)
class NumberedCommand:
    """A command and its offset, which only grows for one fingerprint."""

    offset: int
    command: Command


@dataclass(slots=True)
class Changes:
    """What a run did: the records as they are now, and the events for `alerts`, in order. Those of candidates in shadow
    are apart: nobody is to hear them."""

    records: dict[str, AlertRecord] = field(default_factory=dict)
    events: list[AlertEvent] = field(default_factory=list)
    shadows: list[AlertEvent] = field(default_factory=list)


def step(inputs: Iterable[Signal | NumberedCommand], find: FindRecord, find_rule: FindRule) -> Changes:
    """Apply a run of inputs. `find` gives stored records, which are changed; `find_rule` a rule at a revision.

    An input that is in its record already changes nothing: a replay after a crash gives no event twice.
    """
    changes = Changes()
    for item in inputs:
        fingerprint = item.command.fingerprint if isinstance(item, NumberedCommand) else item.fingerprint
        record = changes.records.get(fingerprint) or find(fingerprint) or AlertRecord(fingerprint)
        if _is_known(record, item):
            continue
        changes.records[fingerprint] = record
        event = _apply(record, item, find_rule)
        if event is not None:
            (changes.shadows if is_shadow(fingerprint) else changes.events).append(event)
    return changes


def _is_known(record: AlertRecord, item: Signal | NumberedCommand) -> bool:
    if isinstance(item, Signal):
        return item.order <= record.order
    return item.offset <= record.command_offset or item.command.id in record.command_ids


def _apply(record: AlertRecord, item: Signal | NumberedCommand, find_rule: FindRule) -> AlertEvent | None:
    if isinstance(item, NumberedCommand):
        record.command_offset = item.offset
        record.command_ids = (*record.command_ids, item.command.id)[-_COMMANDS_KEPT:]
        record.touched_ms = max(record.touched_ms, item.command.at_ms)
        return on_command(record, item.command)
    record.order = item.order
    record.touched_ms = max(record.touched_ms, item.at_ms)
    rule = None if item.notice else find_rule(item.rule_id, item.revision)
    return on_signal(record, item, rule)
