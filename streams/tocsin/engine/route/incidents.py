"""Incidents: what a group of a correlation rule keeps of its alerts beside the group, and says of them."""

from typing import Final

from tocsin.engine.route.correlation import Common
from tocsin.engine.route.group_record import GroupRecord, Involved, Kept
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.incident import Incident, IncidentAlert
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Severity

PREFIX: Final = "incident/"
_MOST: Final = 200  # alerts that are kept and named; more are counted
_MOST_BEYOND: Final = 2_000


def note(
    record: GroupRecord, event: AlertEvent, common: Common | None, now_ms: int, *, is_active: bool, is_new: bool
) -> None:
    """An alert joins an incident, or is another than it was; none joins without `common`, when the rule is no more."""
    known = record.incident.joined.get(event.fingerprint) if record.incident else None
    if common is not None:
        known = _joined(record, event, common, now_ms, is_new=is_new)
    if known is not None:
        known.severity = event.severity
        known.ended_ms = 0 if is_active else now_ms


def _joined(record: GroupRecord, event: AlertEvent, common: Common, now_ms: int, *, is_new: bool) -> Involved | None:
    """What the incident keeps of an alert; None of one too many."""
    own = common.own(routing_labels(event))
    kept = record.incident
    if kept is None:
        kept = record.incident = Kept(stable_id("incident", record.key, record.began_ms), own)
    if Severity.of(event.severity).rank > Severity.of(kept.severity).rank or not kept.joined:
        kept.severity = event.severity
    known = kept.joined.get(event.fingerprint)
    if known is None:
        if not is_new or event.fingerprint in kept.beyond:
            return None
        kept.count += 1
        if len(kept.joined) >= _MOST:
            if len(kept.beyond) < _MOST_BEYOND:  # of more yet, one that comes back counts again
                kept.beyond[event.fingerprint] = True
            return None
        why = common.why(kept.first, own) if kept.joined else "it is the first"
        known = kept.joined[event.fingerprint] = Involved(event.rule_id, event.severity, now_ms, why)
    return known


def settle(record: GroupRecord, now_ms: int) -> None:
    """Whether it is over, now that an alert of it is another."""
    if record.incident is not None:
        record.incident.over_ms = now_ms if record.is_over else 0
        record.incident.changed_ms = now_ms


def is_past(record: GroupRecord, now_ms: int, keep_ms: int) -> bool:
    """Whether it is an incident, and one that fires now would be of another."""
    kept = record.incident
    return kept is not None and 0 < kept.over_ms <= now_ms - keep_ms


def incident_of(record: GroupRecord, kept: Kept) -> Incident:
    """As it lies on `incidents`."""
    alerts = tuple(_alert(name, one) for name, one in kept.joined.items())
    return Incident(
        id=kept.id,
        correlation=record.route.removeprefix(PREFIX),
        labels=record.labels,
        status="resolved" if kept.over_ms else "open",
        severity=kept.severity,
        started_at=format_instant(record.began_ms),
        updated_at=format_instant(kept.changed_ms),
        ended_at=format_instant(kept.over_ms) if kept.over_ms else None,
        count=kept.count,
        active=record.active,
        alerts=alerts,
        truncated=kept.count - len(alerts),
    )


def _alert(fingerprint: str, one: Involved) -> IncidentAlert:
    return IncidentAlert(
        fingerprint=fingerprint,
        rule_id=one.rule_id,
        severity=one.severity,
        joined_at=format_instant(one.joined_ms),
        ended_at=format_instant(one.ended_ms) if one.ended_ms else None,
        why=one.why,
    )
