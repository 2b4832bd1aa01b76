"""Route's step: a run of alert events in, notifications for channels out."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.record import RouteRecord
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Notification

FindRecord = Callable[[str], RouteRecord | None]


@dataclass(slots=True)
class Changes:
    """What a run did: the records as they are now, and what is to be said."""

    records: dict[str, RouteRecord] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    unroutable: list[Delivery] = field(default_factory=list)


def step(
    events: Iterable[AlertEvent], find: FindRecord, channels: Mapping[str, Channel], types: Collection[str]
) -> Changes:
    """Apply a run of events. `find` gives stored records, which are changed.

    Told are `firing`, and to those who heard of it `changed` and `resolved`. An event that is in its record already
    changes nothing.
    """
    changes = Changes()
    for event in events:
        record = changes.records.get(event.fingerprint) or find(event.fingerprint) or RouteRecord(event.fingerprint)
        if _is_known(record, event):
            continue
        changes.records[event.fingerprint] = record
        record.sequence, record.starts_at, record.updated_at = event.sequence, event.starts_at, event.updated_at
        if event.type == "firing":
            _tell_firing(record, event, channels, types, changes)
        elif event.type == "changed":
            heard = _heard(record.told, channels)
            changes.notifications += [notification(event, channel) for channel in heard if channel.enabled]
        elif event.type == "resolved":
            _tell_resolved(record, event, channels, changes)
    return changes


def _is_known(record: RouteRecord, event: AlertEvent) -> bool:
    """Sequence numbers count, unless lifecycle lost its state and counts anew: then the episode is a later one."""
    return event.sequence <= record.sequence and event.starts_at <= record.starts_at


def _tell_firing(
    record: RouteRecord,
    event: AlertEvent,
    channels: Mapping[str, Channel],
    types: Collection[str],
    changes: Changes,
) -> None:
    found, missing = find_channels(event.notifications, channels, types)
    record.told = {channel.id: channel.type for channel in found.values()}
    changes.notifications += [notification(event, channel) for channel in found.values()]
    changes.unroutable += [_unroutable(event, name, why) for name, why in missing.items()]


def _tell_resolved(record: RouteRecord, event: AlertEvent, channels: Mapping[str, Channel], changes: Changes) -> None:
    told, record.told = record.told, {}
    heard = _heard(told, channels)
    changes.notifications += [
        notification(event, channel) for channel in heard if channel.enabled and channel.sends_resolved
    ]


def _heard(told: Mapping[str, str], channels: Mapping[str, Channel]) -> list[Channel]:
    """Channels that were told and are still what they were."""
    return [channels[name] for name, kind in told.items() if name in channels and channels[name].type == kind]


def notification(event: AlertEvent, channel: Channel, *, test: bool = False) -> Notification:
    """What one channel is to be told about one event."""
    return Notification(
        id=stable_id("notification", event.id, channel.id),
        channel_id=channel.id,
        channel_type=channel.type,
        group_key=event.fingerprint,
        event=event,
        created_at=event.updated_at,
        test=test,
    )


def _unroutable(event: AlertEvent, name: str, why: str) -> Delivery:
    notification_id = stable_id("notification", event.id, name)
    return Delivery(
        id=stable_id("delivery", notification_id, 0),
        notification_id=notification_id,
        channel_id=name,
        channel_type="",
        event_id=event.id,
        fingerprint=event.fingerprint,
        rule_id=event.rule_id,
        event_type=event.type,
        attempt=0,
        outcome="unroutable",
        at=event.updated_at,
        detail=why,
    )
