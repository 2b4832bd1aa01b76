"""Groups: alerts that are told together. Inputs of one partition in, changed groups, notifications and decisions out.

Timers are points in time in the records: a group is looked at by the first input that comes at or after its time, so a
restart, or a worker that was away, moves nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from tocsin.engine.route import incidents
from tocsin.engine.route.flush import Flush, World
from tocsin.engine.route.group_record import GroupRecord, Member, Progress
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.decision import Decision
from tocsin.schemas.grouping import GroupInput, Join
from tocsin.schemas.incident import Incident
from tocsin.schemas.notification import Delivery, Notification
from tocsin.schemas.rule import Severity

EventPlace = tuple[str, str]
"""The key of a group and the fingerprint of an alert in it."""


class Store(Protocol):
    """What is stored of one partition."""

    def group(self, key: str) -> GroupRecord | None:
        """A group, to be changed."""

    def event(self, place: EventPlace) -> AlertEvent | None:
        """The last event of an alert in a group."""

    def due(self, at_ms: int) -> Collection[str]:
        """Keys of the groups that are to be looked at by a time, or because of what is known by now."""


@dataclass(slots=True)
class GroupChanges:
    """What a run did; None for what is no more. Of the groups in `looked`, more changed than what `events` say; those
    in `failed`, with the reason, could not be looked at, and are as they were."""

    progress: Progress
    groups: dict[str, GroupRecord | None] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    events: dict[EventPlace, AlertEvent | None] = field(default_factory=dict)
    notifications: list[Notification] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    unroutable: list[Delivery] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)


def step(inputs: Iterable[tuple[int, GroupInput]], progress: Progress, store: Store, world: World) -> GroupChanges:
    """Apply inputs, each with the time at which it was written. One that was applied before does nothing."""
    run = _Run(GroupChanges(progress), store, world)
    for at_ms, item in inputs:
        progress.clock_ms = max(progress.clock_ms, at_ms)
        if not isinstance(item, Join):
            run.look(progress.clock_ms)
        elif item.number > progress.applied.get(item.source, -1):
            progress.applied[item.source] = item.number
            run.join(item, progress.clock_ms)
    run.changes.incidents += [incidents.incident_of(one, one.incident) for one in run.joined.values() if one.incident]
    return run.changes


class _Run:
    """The groups as this run leaves them, over those that are stored."""

    def __init__(self, changes: GroupChanges, store: Store, world: World) -> None:
        self.changes: Final = changes
        self.joined: Final[dict[str, GroupRecord]] = {}  # incidents that are others than they were
        self._store: Final = store
        self._world: Final = world

    def look(self, now_ms: int) -> None:
        """Look at every group whose time has come."""
        changed = self.changes.groups
        waiting = {key for key in self._store.due(now_ms) if key not in changed}
        waiting |= {key for key, record in changed.items() if record and self._is_due(record, now_ms)}
        for key in sorted(waiting):
            record = self._group(key)
            if record is not None and self._is_due(record, now_ms):
                self._look_at(record, now_ms)

    def _is_due(self, record: GroupRecord, now_ms: int) -> bool:
        return record.is_due(now_ms, self._world.muting.reached_ms)

    def _look_at(self, record: GroupRecord, now_ms: int) -> None:
        try:
            self._flush(record, now_ms)
        except Exception as error:
            if record.key in self.changes.groups:
                raise
            # It fails at every look, and must not keep all other groups waiting.
            self.changes.failed[record.key] = f"{type(error).__name__}: {error}"

    def join(self, join: Join, now_ms: int) -> None:
        """An alert joins its group, or is another than it was."""
        record, fingerprint = self._group(join.group_key), join.event.fingerprint
        if record is not None and self._is_due(record, now_ms):
            self._flush(record, now_ms)  # what was due before goes first
            record = self._group(join.group_key)
        options, member = self._world.options(join.route), _member(join)
        if record is not None and incidents.is_past(record, now_ms, options.keep_ms):
            self._forget(record)
            record = None
        before = record.members.get(fingerprint) if record else None
        if not member.active and before is None and not (record and record.heard_of(fingerprint)):
            return  # it was over before anybody could be told
        # Who was waited for long enough before it came here is not waited for again.
        begins_ms = now_ms if member.fired_ms + options.wait_ms <= now_ms else now_ms + options.wait_ms
        if record is None:
            record = GroupRecord(join.group_key, join.route, dict(join.labels), now_ms, begins_ms)
        elif not record.flushed or (record.incident and not record.members):
            record.due_ms = min(record.due_ms, begins_ms)
        self._admit(record, join, member, before, now_ms)
        if not member.active and options.resolve_at_once and record.is_over and record.told:
            record.again_ms = now_ms
        if self._is_due(record, now_ms):
            self._flush(record, now_ms)
            return
        if before is not None and before.acknowledged != member.acknowledged:
            self._tell_care(record, now_ms)
        if member.active and not record.heard_of(fingerprint):
            self.changes.decisions += self._world.waiting(record, join.event, record.next_ms, now_ms)

    def _forget(self, record: GroupRecord) -> None:
        """An incident is past, and what comes now is another one."""
        self.changes.groups[record.key] = None
        self.changes.looked.add(record.key)
        self.changes.events |= {(record.key, name): None for name in record.members}

    def _admit(self, record: GroupRecord, join: Join, member: Member, before: Member | None, now_ms: int) -> None:
        fingerprint = join.event.fingerprint
        if before is not None:
            member.said, member.hold_ms = before.said, before.hold_ms
        if member.active and (before is None or not before.active):
            wait = self._world.muting.wait_of(join.event)
            member.hold_ms = now_ms + wait.hold_ms if wait else 0
        if join.event.is_said_again and member.active and record.said_again(fingerprint):
            record.again_ms = now_ms
            self.changes.looked.add(record.key)
        common, is_new = self._world.common(join.route), before is None
        incidents.note(record, join.event, common, now_ms, is_active=member.active, is_new=is_new)
        record.admit(fingerprint, member)
        if record.incident is not None:
            incidents.settle(record, now_ms)
            self.joined[record.incident.id] = record
        self.changes.groups[record.key] = record
        self.changes.events[record.key, fingerprint] = join.event

    def _group(self, key: str) -> GroupRecord | None:
        if key in self.changes.groups:
            return self.changes.groups[key]
        return self._store.group(key)

    def _event(self, place: EventPlace) -> AlertEvent | None:
        if place in self.changes.events:
            return self.changes.events[place]
        return self._store.event(place)

    def _tell_care(self, record: GroupRecord, now_ms: int) -> None:
        caring = Flush(record, lambda name: self._event((record.key, name)), self._world, now_ms)
        caring.tell_care()
        if caring.has_changed:
            self.changes.looked.add(record.key)
        self.changes.notifications += caring.notifications

    def _flush(self, record: GroupRecord, now_ms: int) -> None:
        record.looks += 1
        done = Flush(record, lambda name: self._event((record.key, name)), self._world, now_ms)
        done.run()
        if done.has_changed or done.is_empty:  # what comes after it in this run counts its looks anew
            self.changes.looked.add(record.key)
        self.changes.notifications += done.notifications
        self.changes.decisions += done.decisions
        self.changes.unroutable += done.unroutable
        for name in done.gone:
            self.changes.events[record.key, name] = None
        self.changes.groups[record.key] = None if done.is_empty else record


def _member(join: Join) -> Member:
    event = join.event
    return Member(
        rank=Severity.of(event.severity).rank,
        active=event.is_active and not join.left,
        acknowledged=event.status == "acknowledged",
        fired_ms=event.fired_ms,
        event_id=event.id,
        rule_id=event.rule_id,
    )
