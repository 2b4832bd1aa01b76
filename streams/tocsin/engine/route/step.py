"""Route's step: a run of alert events in, notifications for channels and inputs of groups out.

An alert whose rule names channels goes to these at once, each event by itself; every other alert goes through the route
tree, to its groups. An escalation policy goes on from there, whichever way the alert went. What keeps an alert quiet
counts for all of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tocsin.engine.escalate.directory import Directory
from tocsin.engine.escalate.telling import Escalations
from tocsin.engine.route.direct import Direct, notification
from tocsin.engine.route.members import Members, Numbers
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.record import RouteRecord
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command
from tocsin.schemas.decision import Decision
from tocsin.schemas.grouping import Join
from tocsin.schemas.notification import Delivery, Notification

__all__ = ["Changes", "FindRecord", "Numbers", "notification", "revisit", "step"]

FindRecord = Callable[[str], RouteRecord | None]
_NOTHING: Final = Muting()
_NOBODY: Final = Directory()


@dataclass(slots=True)
class Changes:
    """What a run did: the records as they are now, and what is to be said."""

    records: dict[str, RouteRecord] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    unroutable: list[Delivery] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)


def step(
    events: Iterable[AlertEvent],
    find: FindRecord,
    channels: Mapping[str, Channel],
    types: Collection[str],
    muting: Muting = _NOTHING,
    numbers: Numbers | None = None,
    at_ms: int = 0,
    directory: Directory = _NOBODY,
) -> Changes:
    """Apply a run of events at a time. `find` gives stored records, which are changed; `numbers` go on.

    Told are `firing`, and to those who heard of it `changed` and `resolved`, but for what is noise. An event that is in
    its record already changes nothing.
    """
    changes = Changes()
    direct = Direct(channels, types, muting, at_ms, changes.notifications, changes.unroutable, changes.decisions)
    members = Members(muting.tree, numbers or Numbers(), at_ms, changes.joins, changes.decisions)
    escalations = _escalations(changes, directory, direct)
    for event in events:
        record = changes.records.get(event.fingerprint) or find(event.fingerprint) or RouteRecord(event.fingerprint)
        if _is_known(record, event):
            continue
        changes.records[event.fingerprint] = record
        record.sequence, record.starts_at, record.updated_at = event.sequence, event.starts_at, event.updated_at
        record.heard_ms = max(record.heard_ms, at_ms)
        if not event.is_noise:
            direct.take(record, event)
            members.take(record, event)
        escalations.take(record, event)
    return changes


def revisit(
    records: Iterable[RouteRecord],
    channels: Mapping[str, Channel],
    types: Collection[str],
    muting: Muting,
    numbers: Numbers,
    at_ms: int,
    directory: Directory = _NOBODY,
) -> Changes:
    """Look again at alerts that wait, or that another tree may send elsewhere."""
    changes = Changes()
    direct = Direct(channels, types, muting, at_ms, changes.notifications, changes.unroutable, changes.decisions)
    members = Members(muting.tree, numbers, at_ms, changes.joins, changes.decisions)
    escalations = _escalations(changes, directory, direct)
    for record in records:
        has_changed = direct.look(record)
        has_changed = members.look(record) or has_changed
        if escalations.look(record) or has_changed:  # last: whom the others told has heard
            changes.records[record.fingerprint] = record
    return changes


def _escalations(changes: Changes, directory: Directory, direct: Direct) -> Escalations:
    return Escalations(
        directory=directory,
        channels=direct.channels,
        types=direct.types,
        muting=direct.muting,
        at_ms=direct.at_ms,
        notifications=changes.notifications,
        unroutable=changes.unroutable,
        decisions=changes.decisions,
        commands=changes.commands,
    )


def _is_known(record: RouteRecord, event: AlertEvent) -> bool:
    """Sequence numbers count, unless lifecycle lost its state and counts anew: then the episode is a later one."""
    return event.sequence <= record.sequence and event.starts_at <= record.starts_at
