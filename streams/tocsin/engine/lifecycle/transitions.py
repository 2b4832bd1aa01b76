"""The state machine of an alert: none -> pending -> firing <-> acknowledged -> resolved.

A signal or a command changes the record and gives at most one event. What a person decided stands until the condition
says something new: an alert resolved by hand stays resolved until its condition ended and began again.
"""

from typing import Any, Final

from tocsin.engine.lifecycle import compose
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
    if signal.kind == "ended":
        if record.status == "pending":
            record.event = None
            return None
        if was != "firing" or not record.is_active:
            return None
        facts = compose.from_signal(signal, rule, record.episode_ms)
        return _transition(record, "resolved", "resolved", signal.at_ms, facts | {"reason": signal.reason})
    if signal.kind == "changed":
        return _change(record, signal, rule)
    if record.is_active or record.status == signal.kind:
        return None
    if record.status != "pending":
        _begin(record, signal.since_ms)
    facts = compose.from_signal(signal, rule, record.episode_ms) | {"reason": signal.reason}
    return _transition(record, signal.kind, signal.kind, signal.at_ms, facts)


def _change(record: AlertRecord, signal: Signal, rule: Rule | None) -> AlertEvent | None:
    """Another level of the same alert; a worse one than somebody took care of is nobody's again."""
    if record.event is None or not record.is_active:
        return None
    facts = compose.from_signal(signal, rule, record.episode_ms) | {"reason": signal.reason}
    is_worse = Severity(facts["severity"]).rank > Severity(record.event.severity).rank
    if is_worse:
        facts["acknowledged"] = None
    status: AlertStatus = "firing" if is_worse else record.event.status
    return _transition(record, "changed", status, signal.at_ms, facts)


def on_command(record: AlertRecord, command: Command) -> AlertEvent | None:
    """Apply what a person wants; None when it changes nothing."""
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
    if command.type == "acknowledge" and record.status == "firing":
        said = Acknowledgement(command.actor, format_instant(command.at_ms), command.comment)
        return _transition(record, "acknowledged", "acknowledged", command.at_ms, facts | {"acknowledged": said})
    if command.type == "escalate" and record.status == "firing":
        facts |= {"reason": "escalation", "escalation": command.escalation}
        return _transition(record, "escalated", "firing", command.at_ms, facts)
    if command.type == "unacknowledge" and record.status == "acknowledged":
        return _transition(record, "unacknowledged", "firing", command.at_ms, facts | {"acknowledged": None})
    return None


def _trigger(record: AlertRecord, command: Command, by_hand: dict[str, Any]) -> AlertEvent | None:
    """Raise it at once: a rule's cooldown keeps its condition quiet, not a person who asked for the alert."""
    trigger = command.trigger
    if trigger is None or record.is_active:
        return None
    if record.status != "pending":
        _begin(record, command.at_ms)
    return _transition(record, "firing", "firing", command.at_ms, compose.from_trigger(trigger) | by_hand)


def _begin(record: AlertRecord, at_ms: int) -> None:
    if record.episode_ms != at_ms:  # the same start again goes on counting: ids must differ
        record.episode_ms, record.transitions = at_ms, 0
    record.event = None


def _transition(
    record: AlertRecord, kind: AlertType, status: AlertStatus, at_ms: int, facts: dict[str, Any]
) -> AlertEvent:
    record.transitions += 1
    record.sequence += 1
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
