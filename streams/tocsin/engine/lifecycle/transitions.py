"""The state machine of an alert: none -> pending -> firing <-> acknowledged -> resolved.

A signal or a command changes the record and gives at most one event. What a person decided stands until the condition
says something new: an alert resolved by hand stays resolved until its condition gets worse, or ended and began again.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from tocsin.engine.lifecycle import compose, flapping
from tocsin.engine.lifecycle.record import AlertRecord, Condition
from tocsin.schemas.alert import Acknowledgement, AlertEvent, AlertStatus, AlertType
from tocsin.schemas.command import Command
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Rule, Severity
from tocsin.schemas.signal import Signal, SignalKind

_CONDITIONS: Final[dict[SignalKind, Condition]] = {
    "ended": "rest",
    "pending": "pending",
    "firing": "firing",
    "changed": "firing",
}


def on_signal(record: AlertRecord, signal: Signal, rule: Rule | None) -> AlertEvent | None:
    """Apply what a rule says about its condition."""
    was, record.condition = record.condition, _CONDITIONS[signal.kind]
    if record.condition == "firing":
        record.end_ms = 0  # it was raised by hand for a while, and is real now
    if signal.kind == "ended":
        return _end(record, signal, rule) if was == "firing" or record.status == "pending" else None
    if signal.kind == "changed" or (record.is_active and was != "firing" and signal.kind == "firing"):
        return _change(record, signal, rule)  # the first value of what flaps, or was raised by hand, is a change too
    if record.is_active or record.status == signal.kind:
        return None
    return _start(record, signal, rule, signal.kind, signal.since_ms)


def _start(
    record: AlertRecord, signal: Signal, rule: Rule | None, kind: Literal["pending", "firing"], since_ms: int
) -> AlertEvent:
    if record.status != "pending":
        _begin(record, since_ms)
    facts = compose.from_signal(signal, rule, record.episode_ms) | {"reason": signal.reason}
    if kind == "firing":
        facts["flapping"] = flapping.changed(record, signal, rule, Severity(facts["severity"]).rank)
    return _transition(record, kind, kind, signal.at_ms, facts)


def _end(record: AlertRecord, signal: Signal, rule: Rule | None) -> AlertEvent | None:
    """The condition is over: so is the alert, unless it flaps."""
    if record.status == "pending":
        record.event = None
    if record.event is None or not record.is_active:
        return None
    facts = compose.from_signal(signal, rule, record.episode_ms) | {"reason": signal.reason}
    phase = flapping.changed(record, signal, rule, Severity(record.event.severity).rank)
    if record.is_flapping and phase:
        return _transition(record, "changed", record.event.status, signal.at_ms, facts | {"flapping": phase})
    return _transition(record, "resolved", "resolved", signal.at_ms, facts)


def _change(record: AlertRecord, signal: Signal, rule: Rule | None) -> AlertEvent | None:
    """Another level of the same alert; a worse one than somebody took care of is nobody's again, and a worse one than
    somebody resolved is an alert again."""
    if record.event is None:
        return None
    facts = compose.from_signal(signal, rule, record.episode_ms) | {"reason": signal.reason}
    rank = Severity(facts["severity"]).rank
    if not record.is_active:
        is_worse = record.status == "resolved" and rank > Severity(record.event.severity).rank
        return _start(record, signal, rule, "firing", signal.at_ms) if is_worse else None
    phase = flapping.changed(record, signal, rule, max(rank, Severity(record.event.severity).rank))
    is_worse = phase == "worse" or (phase != "ongoing" and rank > Severity(record.event.severity).rank)
    if is_worse:
        facts["acknowledged"] = None
    status: AlertStatus = "firing" if is_worse else record.event.status
    return _transition(record, "changed", status, signal.at_ms, facts | {"flapping": phase})


def on_command(record: AlertRecord, command: Command) -> AlertEvent | None:
    """Apply what a person wants, at a time by which no timer is due; None when it changes nothing."""
    by_hand = compose.by_hand(command)
    if command.type == "trigger":
        return _trigger(record, command, by_hand)
    if record.event is None or not record.is_active:
        return None
    if command.starts_at not in (None, record.event.starts_at) or command.sequence not in (None, record.sequence):
        return None
    facts = compose.from_event(record.event) | by_hand
    if command.type == "resolve":
        return _transition(record, "resolved", "resolved", command.at_ms, facts)
    if command.type in ("acknowledge", "snooze"):
        return _take_care(record, record.event, command, facts)
    if command.type == "escalate" and record.status == "firing":
        facts |= {"reason": "escalation", "escalation": command.escalation}
        return _transition(record, "escalated", "firing", command.at_ms, facts)
    if command.type == "unacknowledge" and record.status == "acknowledged":
        return _transition(record, "unacknowledged", "firing", command.at_ms, facts | {"acknowledged": None})
    return None


def _take_care(record: AlertRecord, event: AlertEvent, command: Command, facts: dict[str, Any]) -> AlertEvent | None:
    """Acknowledge or snooze; what is acknowledged already may be so in another way from here on."""
    is_snooze, until_ms = command.type == "snooze", command.until_ms
    if until_ms is not None and until_ms <= command.at_ms:
        return None
    if is_snooze and until_ms is None:
        return None
    until = format_instant(until_ms) if until_ms is not None else None
    at = format_instant(command.at_ms)
    said = Acknowledgement(
        command.actor, at, command.comment, until, command.remind_every_ms, is_snooze, command.reason
    )
    before = event.acknowledged
    if before is not None and said == msgspec.structs.replace(before, at=at):
        return None
    made = _transition(record, "acknowledged", "acknowledged", command.at_ms, facts | {"acknowledged": said})
    record.care_ms = until_ms or 0
    record.remind_ms = command.at_ms + said.remind_every_ms if said.remind_every_ms else 0
    return made


def on_time(record: AlertRecord, now_ms: int) -> Iterator[AlertEvent]:
    """What is due by a time, each at the time at which it was due."""
    while record.event is not None and 0 < record.wake_ms <= now_ms:
        yield _due(record, record.event, record.wake_ms, now_ms)


def _due(record: AlertRecord, event: AlertEvent, at_ms: int, now_ms: int) -> AlertEvent:
    facts, care = compose.from_event(event), event.acknowledged
    if at_ms == record.end_ms:
        return _transition(record, "resolved", "resolved", at_ms, facts | {"reason": "time over"})
    if at_ms == record.calm_ms:
        return _calm(record, event, at_ms, facts)
    if at_ms == record.care_ms or care is None:
        reason = "snooze over" if care and care.snoozed else "acknowledgement over"
        return _transition(record, "unacknowledged", "firing", at_ms, facts | {"reason": reason, "acknowledged": None})
    made = _transition(record, "reminded", "acknowledged", at_ms, facts | {"reason": "reminder"})
    # Those that were missed are one; the times stay where they are.
    record.remind_ms = at_ms + ((now_ms - at_ms) // care.remind_every_ms + 1) * care.remind_every_ms
    return made


def _calm(record: AlertRecord, event: AlertEvent, at_ms: int, facts: dict[str, Any]) -> AlertEvent:
    """It flaps no more: it fires, or is over."""
    record.calm_ms, record.flips = 0, ()
    facts |= {"reason": flapping.OVER, "flapping": "stopped"}
    if record.condition == "firing":
        return _transition(record, "changed", event.status, at_ms, facts)
    return _transition(record, "resolved", "resolved", at_ms, facts)


def _trigger(record: AlertRecord, command: Command, by_hand: dict[str, Any]) -> AlertEvent | None:
    """Raise it at once: a rule's cooldown keeps its condition quiet, not a person who asked for the alert."""
    trigger = command.trigger
    if trigger is None or record.is_active:
        return None
    if record.status != "pending":
        _begin(record, command.at_ms)
    made = _transition(record, "firing", "firing", command.at_ms, compose.from_trigger(trigger) | by_hand)
    record.end_ms = command.until_ms or 0
    return made


def _begin(record: AlertRecord, at_ms: int) -> None:
    if record.episode_ms != at_ms:  # the same start again goes on counting: ids must differ
        record.episode_ms, record.transitions = at_ms, 0
    record.event = None


def _transition(
    record: AlertRecord, kind: AlertType, status: AlertStatus, at_ms: int, facts: dict[str, Any]
) -> AlertEvent:
    record.transitions += 1
    record.sequence += 1
    if status != "acknowledged":
        record.care_ms = record.remind_ms = 0
    if kind in ("firing", "resolved"):
        record.end_ms = 0
    if record.is_flapping and not facts.get("flapping"):
        facts["flapping"] = "stopped" if status == "resolved" else "ongoing"
    if status == "resolved":
        if facts["reason"] not in ("condition", "no data"):
            record.flips = ()
        record.calm_ms = 0
    before, at = record.event, format_instant(at_ms)
    names = ("fired_at", "acknowledged", "escalation") if before else ()
    kept = {name: getattr(before, name) for name in names}
    if kind == "firing":
        kept["fired_at"] = at
    record.event = AlertEvent(
        id=stable_id("event", record.fingerprint, record.episode_ms, record.transitions),
        type=kind,
        status=status,
        fingerprint=record.fingerprint,
        sequence=record.sequence,
        starts_at=format_instant(record.episode_ms),
        ends_at=at if kind == "resolved" else None,
        updated_at=at,
        **{**kept, **facts},
    )
    return record.event
