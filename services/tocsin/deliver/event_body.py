"""A notification for programs: the event as it is, and the message in words beside it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.deliver.protocol import Outgoing
from tocsin.schemas.alert import EVENT_TYPE_PREFIX
from tocsin.schemas.notification import Group, Notification

_GROUP_TYPE_PREFIX = "tocsin.group."


def event_body(outgoing: Outgoing) -> dict[str, Any]:
    """`type`, `timestamp` and `data`, the same for every repeat."""
    notification, message = outgoing.notification, outgoing.message
    event = notification.event
    words = {"title": message.title, "subject": message.subject, "summary": list(message.summary), "link": message.link}
    data = {**msgspec.to_builtins(event), "message": words, "channel_id": notification.channel_id}
    if notification.test:
        data["test"] = True
    if notification.instead_of:
        data["instead_of"] = list(notification.instead_of)
    if notification.group is not None:
        return _of_group(notification, notification.group, data)
    return {"type": EVENT_TYPE_PREFIX + event.type, "timestamp": event.updated_at, "data": data}


def _of_group(notification: Notification, group: Group, data: dict[str, Any]) -> dict[str, Any]:
    """As of one alert, the worst of them, and beside it all alerts of the group."""
    data["group"] = {"key": notification.group_key, "status": group.status, **msgspec.to_builtins(group)}
    kind = f"{_GROUP_TYPE_PREFIX}{group.status}"
    return {"type": kind, "timestamp": notification.created_at, "data": data}
