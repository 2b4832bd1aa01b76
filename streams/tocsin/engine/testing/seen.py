"""What there is at one moment of a test, in the words of what is expected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.engine.testing.notation import format_labels
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import format_duration
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Notification

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """Alerts with their last event, and notifications in the order of sending."""

    alerts: tuple[Facts, ...]
    notifications: tuple[Facts, ...]


def seen(events: Iterable[AlertEvent], notifications: Iterable[Notification], begin_ms: int) -> Seen:
    """Everything as facts under the names that expectations use; times count from `begin_ms`."""
    alerts = sorted((_alert(event, begin_ms) for event in events), key=subject_of)
    return Seen(tuple(alerts), tuple(_notification(one, begin_ms) for one in notifications))


def _alert(event: AlertEvent, begin_ms: int) -> Facts:
    return {
        "rule": event.rule_id,
        "status": event.status,
        "labels": event.labels,
        "severity": event.severity,
        "value": event.value,
        "threshold": event.threshold,
        "annotations": event.annotations,
        "starts_at": parse_instant(event.starts_at) - begin_ms,
        "fired_at": parse_instant(event.fired_at) - begin_ms if event.fired_at else None,
        "reason": event.reason,
        "unit": event.unit,
        "flapping": event.flapping,
    }


def _notification(one: Notification, begin_ms: int) -> Facts:
    """Of a group, what it says of the worst of its alerts, and of itself."""
    at_ms, group = parse_instant(one.created_at) - begin_ms, one.group
    facts = {**_alert(one.event, begin_ms), "channel": one.channel_id, "type": one.event.type, "at": at_ms}
    if group is None:
        return facts | {"group": None, "alerts": 1}
    size = len(group.alerts) + group.truncated
    return facts | {"type": group.status, "reason": group.reason, "group": group.labels, "alerts": size}


def subject_of(facts: Facts) -> str:
    """`slow{service="api"}`, and before it what is told to which channel."""
    told = [str(facts[name]) for name in ("channel", "type") if facts.get(name)]
    return " ".join([*told, f"{facts.get('rule') or ''}{format_labels(facts.get('labels') or {})}"]).strip()


def text_of(field: str, value: Any) -> str:
    """A fact as people write it."""
    if value is None:
        return "none"
    if field in ("starts_at", "fired_at", "at"):
        return format_duration(value) if value >= 0 else f"-{format_duration(-value)}"
    if isinstance(value, Mapping):
        return format_labels(value) or "{}"
    if isinstance(value, tuple):
        return " to ".join(f"{end:.12g}" for end in value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)
