"""One look at a group: who is told what, who is not and why, and what is left of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.correlation import Common
from tocsin.engine.route.decisions import decision
from tocsin.engine.route.group_record import GroupRecord, Told
from tocsin.engine.route.incidents import is_past
from tocsin.engine.route.muting import Mute, Muting
from tocsin.engine.route.telling import Saying, View, is_hushed, say
from tocsin.engine.route.tree import Options
from tocsin.engine.route.unroutable import unroutable
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.decision import Decision, Outcome
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Group, Notification

_MOST_ALERTS: Final = 200
_MOST_BYTES: Final = 500_000  # half of what every broker takes
_GONE: Final = Options(wait_ms=0)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a decision depends on, beside the group."""

    channels: Mapping[str, Channel]
    types: Collection[str]
    muting: Muting

    def options(self, route: str) -> Options:
        """What is in force at a route; one that is no more has no channels."""
        tree = self.muting.tree
        return tree.by_key[route].options if tree and route in tree.by_key else _GONE

    def common(self, route: str) -> Common | None:
        """What makes alerts there one incident; None of a route that is no correlation rule."""
        tree = self.muting.tree
        return tree.by_key[route].common if tree and route in tree.by_key else None

    def waiting(self, record: GroupRecord, event: AlertEvent, until_ms: int, now_ms: int) -> Iterator[Decision]:
        """That an alert waits with its group, unless that was said before."""
        found, _ = find_channels(self.options(record.route).channels, self.channels, self.types)
        yield from _decided(record, event, now_ms, "waiting", until_ms=until_ms, channels=tuple(found))


@dataclass(slots=True)
class Flush:
    """A look at a group at a time; `events` are the last ones of its alerts."""

    record: GroupRecord
    events: Mapping[str, AlertEvent]
    world: World
    now_ms: int
    notifications: list[Notification] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    unroutable: list[Delivery] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    is_empty: bool = False

    def run(self) -> None:
        """Decide, and bring the record up to date."""
        record, options = self.record, self.world.options(self.record.route)
        is_due = record.due_ms <= self.now_ms
        at_ms = self.now_ms
        if is_due:
            at_ms -= (self.now_ms - record.due_ms) % options.interval_ms
            record.due_ms, record.flushed = at_ms + options.interval_ms, True
        record.again_ms = 0
        muted = self._muted(options)
        members = record.members
        view = View(
            firing={name: one for name, one in members.items() if one.active and name not in muted},
            quiet={name: one for name, one in members.items() if one.active and name in muted},
            over={name: one for name, one in members.items() if not one.active},
        )
        channels = self._tell(options, view, at_ms)
        for name, mute in muted.items():
            until_ms = self._until(name, mute)
            event = self.events[name]
            self.decisions += _decided(record, event, self.now_ms, mute.outcome, mute.by, until_ms, channels=channels)
        self.gone = list(view.over)
        for name in self.gone:
            del members[name]
        record.told = {name: told for name, told in record.told.items() if told.alerts}
        is_kept = record.incident is not None and not is_past(record, self.now_ms, options.keep_ms)
        self.is_empty = is_due and not members and not is_kept

    def _muted(self, options: Options) -> dict[str, Mute]:
        """Why active alerts are kept quiet."""
        muting, found = self.world.muting, dict[str, Mute]()
        quiet = muting.tree.quiet(options, self.now_ms) if muting.tree else ()
        for name, member in self.record.members.items():
            if not member.active:
                continue
            mute = muting.why(routing_labels(self.events[name]), member.fired_ms, self.now_ms, quiet)
            if mute is None and member.hold_ms > self.now_ms:
                mute = Mute("waiting", ())
                again_ms = self.record.again_ms or member.hold_ms
                self.record.again_ms = min(again_ms, member.hold_ms)
            if mute is not None:
                found[name] = mute
        return found

    def _until(self, name: str, mute: Mute) -> int:
        return self.record.members[name].hold_ms if mute.outcome == "waiting" else self.record.due_ms

    def _tell(self, options: Options, view: View, at_ms: int) -> tuple[str, ...]:
        """Tell each channel what it is to be told; the channels of the route."""
        found, missing = find_channels(options.channels, self.world.channels, self.world.types)
        if view.firing:
            worst = self._worst(view.firing)
            new = {name: why for name, why in missing.items() if self.record.missing.get(name) != why}
            self.unroutable += [unroutable(worst, name, why) for name, why in new.items()]
            self.record.missing = missing
        said: dict[str, list[Notification]] = {}
        number = self.record.number
        for channel in (*found.values(), *self._others(found)):
            told = self.record.told.setdefault(channel.id, Told(channel.type))
            mine = view if channel.id in found else View({}, {**view.firing, **view.quiet}, view.over)
            saying = say(told, mine, at_ms, options.repeat_ms, sends_resolved=channel.sends_resolved)
            if saying is None:
                if is_hushed(told, mine, at_ms, options.repeat_ms):
                    self._hush(view.firing, tuple(found))
                continue
            self.record.number = number + 1
            self.notifications.append(self._notification(channel, saying))
            for name in (*saying.firing, *saying.over):
                said.setdefault(name, []).append(self.notifications[-1])
        for name, sent in said.items():
            self.decisions += _decided(self.record, self.events[name], self.now_ms, "sent", sent=sent)
        return tuple(found)

    def _hush(self, names: Collection[str], channels: tuple[str, ...]) -> None:
        """Nothing is repeated, since somebody takes care of everything."""
        for name in names:
            event = self.events[name]
            by = (event.acknowledged.by,) if event.acknowledged else ()
            self.decisions += _decided(self.record, event, self.now_ms, "acknowledged", by, channels=channels)

    def _others(self, found: Mapping[str, Channel]) -> list[Channel]:
        """Channels that the route names no more, and that were told: they hear that it is over."""
        known = self.world.channels
        kept = {name: told for name, told in self.record.told.items() if name in known and known[name].enabled}
        kept = {name: told for name, told in kept.items() if known[name].type == told.kind}
        self.record.told = kept
        return [known[name] for name in kept if name not in found]

    def _worst(self, names: Collection[str]) -> AlertEvent:
        members = self.record.members
        return self.events[max(names, key=lambda name: (members[name].active, members[name].rank, name))]

    def _notification(self, channel: Channel, saying: Saying) -> Notification:
        names = (*self._sorted(saying.firing), *self._sorted(saying.over))
        alerts = _fitting([_as_told(self.events[name], is_over=name in saying.over) for name in names])
        record = self.record
        return Notification(
            id=stable_id("notification", record.key, record.began_ms, record.number, channel.id),
            channel_id=channel.id,
            channel_type=channel.type,
            group_key=record.told_as,
            event=alerts[0],
            created_at=format_instant(self.now_ms),
            group=Group(
                route=record.route,
                labels=record.labels,
                reason=saying.reason,
                alerts=tuple(alerts),
                truncated=len(names) - len(alerts),
                incident=record.incident.id if record.incident else "",
                why={one.fingerprint: why for one in alerts if (why := self._why(one))},
            ),
        )

    def _why(self, event: AlertEvent) -> str:
        joined = self.record.incident.joined.get(event.fingerprint) if self.record.incident else None
        return joined.why if joined else ""

    def _sorted(self, names: Collection[str]) -> list[str]:
        """The worst first, then the oldest."""
        members = self.record.members
        return sorted(names, key=lambda name: (-members[name].rank, members[name].fired_ms, name))


def _decided(
    record: GroupRecord,
    event: AlertEvent,
    now_ms: int,
    outcome: Outcome,
    by: tuple[str, ...] = (),
    until_ms: int = 0,
    *,
    channels: tuple[str, ...] = (),
    sent: Sequence[Notification] = (),
) -> Iterator[Decision]:
    """A decision, unless it is the one before: that something still keeps an alert quiet is said once."""
    member, said = record.members[event.fingerprint], f"{outcome} {' '.join(by)}"
    if not sent and member.said == said:
        return
    member.said = said
    yield decision(
        event,
        outcome,
        now_ms,
        (record.key, event.fingerprint, now_ms, said, *(one.id for one in sent)),
        channels=channels,
        until_ms=until_ms,
        sent=sent,
        reason=next((one.group.reason for one in sent if one.group), ""),
        by=by,
        route=record.route,
        group_key=record.told_as,
    )


def _as_told(event: AlertEvent, *, is_over: bool) -> AlertEvent:
    """An alert that is over in this group, though it goes on in another."""
    if is_over and event.status != "resolved":
        return msgspec.structs.replace(event, type="resolved", status="resolved", reason="routed elsewhere")
    return event


def _fitting(events: Sequence[AlertEvent]) -> list[AlertEvent]:
    """As many as go into one record, at least one."""
    size, found = 0, list[AlertEvent]()
    for event in events[:_MOST_ALERTS]:
        size += len(msgspec.json.encode(event))
        if found and size > _MOST_BYTES:
            break
        found.append(event)
    return found
