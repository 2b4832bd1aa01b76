"""Notifications beyond a channel's rate limit as one: a digest is a group that nobody configured. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.deliver.policy import urgency_of
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Group, Notification

_MOST_ALERTS = 200


def digest_of(notifications: Sequence[Notification]) -> Notification:
    """One for several of a channel, each alert as the last of them has it: what is active first, the worst before all.

    Its id is a function of theirs.
    """
    assert notifications
    latest: dict[str, AlertEvent] = {}
    for one in notifications:
        for event in one.group.alerts if one.group else (one.event,):
            latest.pop(event.fingerprint, None)
            latest[event.fingerprint] = event
    alerts = sorted(latest.values(), key=_rank)
    left_out = sum(one.group.truncated for one in notifications if one.group)
    first = notifications[0]
    identity = stable_id("digest", *(one.id for one in notifications))
    return Notification(
        id=identity,
        channel_id=first.channel_id,
        channel_type=first.channel_type,
        group_key=f"digest/{first.channel_id}",
        event=alerts[0],
        created_at=notifications[-1].created_at,
        group=Group(
            route="",
            labels={},
            reason="digest",
            alerts=tuple(alerts[:_MOST_ALERTS]),
            truncated=left_out + max(0, len(alerts) - _MOST_ALERTS),
        ),
        note=f"{len(notifications)} notifications came faster than this channel's rate limit, so they are one.",
    )


def _rank(event: AlertEvent) -> tuple[bool, int]:
    return event.status == "resolved", urgency_of(event.severity)
