"""A notification in the form of Alertmanager's webhook, version 4, for the programs that read it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tocsin.deliver.protocol import Outgoing
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.notification import Notification

_NEVER: Final = "0001-01-01T00:00:00Z"
_REASONS: Final = {"first": "first notification", "new": "new alerts", "worse": "new alerts"}


def alertmanager_body(outgoing: Outgoing, max_alerts: int = 0) -> dict[str, Any]:
    """The body; with `max_alerts` the last ones beyond it are left out and counted, 0 takes all."""
    notification = outgoing.notification
    group = notification.group
    events = group.alerts if group else (notification.event,)
    shown = events[:max_alerts] if max_alerts else events
    firing = any(event.status != "resolved" for event in events)
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": len(events) - len(shown) + (group.truncated if group else 0),
        "status": "firing" if firing else "resolved",
        "receiver": notification.channel_id,
        "groupLabels": dict(group.labels) if group else {"alertname": notification.event.rule_id},
        "commonLabels": _common([routing_labels(event) for event in events]),
        "commonAnnotations": _common([_annotations(event) for event in events]),
        "externalURL": outgoing.message.link.partition("/#/")[0],
        "notification_reason": _reason(notification, firing=firing),
        "alerts": [_alert(event, outgoing.message.link) for event in shown],
    }


def _reason(notification: Notification, *, firing: bool) -> str:
    if notification.group is None:
        return "first notification" if firing else "all resolved"
    return _REASONS.get(notification.group.reason, notification.group.reason)


def _alert(event: AlertEvent, link: str) -> dict[str, Any]:
    return {
        "status": "resolved" if event.status == "resolved" else "firing",
        "labels": routing_labels(event),
        "annotations": _annotations(event),
        "startsAt": event.fired_at or event.starts_at,
        "endsAt": event.ends_at or _NEVER,
        "generatorURL": f"{link.rpartition('/')[0]}/{event.fingerprint}",
        "fingerprint": event.fingerprint,
    }


def _annotations(event: AlertEvent) -> dict[str, str]:
    found = dict(event.annotations)
    if event.description:
        found.setdefault("description", event.description)
    if event.runbook_url:
        found.setdefault("runbook_url", event.runbook_url)
    return found


def _common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    first, *rest = sets
    return {name: text for name, text in first.items() if all(one.get(name) == text for one in rest)}
