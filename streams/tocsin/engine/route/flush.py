"""One look at a group: who is told what, who is not and why, and what is left of it."""

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.correlation import Common
from tocsin.engine.route.decisions import Subject, decision
from tocsin.engine.route.group_record import GroupRecord, Told
from tocsin.engine.route.incidents import is_past
from tocsin.engine.route.muting import Mute, Muting
from tocsin.engine.route.telling import Saying, View, is_hushed, say, say_care
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
        yield from _decided(record, event.fingerprint, now_ms, "waiting", until_ms=until_ms, channels=tuple(found))


@dataclass(slots=True)
class Flush:
    """A look at a group at a time; `find` gives the last event of one of its alerts, None for one that is damaged."""

    record: GroupRecord
    find: Callable[[str], AlertEvent | None]
    world: World
    now_ms: int
    notifications: list[Notification] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    unroutable: list[Delivery] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    is_empty: bool = False
    has_changed: bool = False

    def run(self) -> None:
        """Decide, and bring the record up to date."""
        record, options = self.record, self.world.options(self.record.route)
        is_due = record.due_ms <= self.now_ms
        at_ms = self.now_ms
        if is_due:
            at_ms -= (self.now_ms - record.due_ms) % options.interval_ms
            record.due_ms, record.flushed = at_ms + options.interval_ms, True
        record.again_ms = record.awaits_ms = 0
        muted = self._muted(options)
        members = record.members
        view = View(
            firing={name: one for name, one in members.items() if one.active and name not in muted},
            quiet={name: one for name, one in members.items() if one.active and name in muted},
            over={name: one for name, one in members.items() if not one.active},
        )
        channels = self._tell(options, view, at_ms)
        for name, mute in muted.items():
            until_ms = members[name].hold_ms if mute.outcome == "waiting" else 0
            self._decide(name, mute.outcome, mute.by, until_ms, channels=channels)
        self.tell_care()
        self.gone = list(view.over)
        for name in self.gone:
            record.drop(name)
        told = {name: told for name, told in record.told.items() if told.alerts}
        self.has_changed = self.has_changed or bool(self.gone) or told.keys() != record.told.keys()
        record.told = told
        is_kept = record.incident is not None and not is_past(record, self.now_ms, options.keep_ms)
        self.is_empty = is_due and not members and not is_kept

    def _decide(self, name: str, *facts: Any, **more: Any) -> None:
        made = list(_decided(self.record, name, self.now_ms, *facts, **more))
        self.has_changed = self.has_changed or bool(made)
        self.decisions += made

    def _muted(self, options: Options) -> dict[str, Mute]:
        """Why active alerts are kept quiet."""
        muting, found = self.world.muting, dict[str, Mute]()
        quiet = muting.tree.quiet(options, self.now_ms) if muting.tree else ()
        for name, member in self.record.members.items():
            if not member.active:
                continue
            event = None if muting.is_idle else self.find(name)
            labels = routing_labels(event) if event else {}
            mute = muting.why(labels, member.fired_ms, self.now_ms, quiet)
            if mute is None and member.hold_ms > self.now_ms and (wait := muting.wait(labels, member.fired_ms)):
                mute = Mute("waiting", ())
                self.record.again_ms = min(self.record.again_ms or member.hold_ms, member.hold_ms)
                self.record.awaits_ms = min(self.record.awaits_ms or wait.awaits_ms, wait.awaits_ms)
            if mute is not None:
                found[name] = mute
        return found

    def _tell(self, options: Options, view: View, at_ms: int) -> tuple[str, ...]:
        """Tell each channel what it is to be told; the channels of the route."""
        found, missing = find_channels(options.channels, self.world.channels, self.world.types)
        if view.firing:
            self._miss(view.firing, missing)
        said: dict[str, list[Notification]] = {}
        number = self.record.number
        for channel in (*found.values(), *self._others(found)):
            told = self.record.told.setdefault(channel.id, Told(channel.type))
            mine = view if channel.id in found else View({}, {**view.firing, **view.quiet}, view.over)
            before = len(told.alerts)
            saying = say(told, mine, at_ms, options.repeat_ms, sends_resolved=channel.sends_resolved)
            self.has_changed = self.has_changed or saying is not None or len(told.alerts) != before
            if saying is None:
                if is_hushed(told, mine, at_ms, options.repeat_ms):
                    self._hush(view.firing, tuple(found))
                continue
            self.record.number = number + 1
            self.notifications += self._notifications(channel, saying)
            for name in (*saying.firing, *saying.over):
                said.setdefault(name, []).append(self.notifications[-1])
        for name, sent in said.items():
            self._decide(name, "sent", sent=sent)
        return tuple(found)

    def _miss(self, firing: Collection[str], missing: dict[str, str]) -> None:
        """Say which channels of the route there are not, once for each reason."""
        new = {name: why for name, why in missing.items() if self.record.missing.get(name) != why}
        if new and (worst := self.find(self._worst(firing))) is not None:
            self.unroutable += [unroutable(worst, name, why) for name, why in new.items()]
        self.record.missing = missing

    def tell_care(self) -> None:
        """Tell the channels that keep something open of acknowledgements, at once and whatever keeps alerts quiet."""
        number = self.record.number
        for name, told in self.record.told.items():
            channel = self.world.channels.get(name)
            if channel is None or not (channel.enabled and channel.hears_of_care and channel.type == told.kind):
                continue
            saying = say_care(told, self.record.members)
            if saying is not None:
                self.record.number, self.has_changed = number + 1, True
                self.notifications += self._notifications(channel, saying)

    def _hush(self, names: Collection[str], channels: tuple[str, ...]) -> None:
        """Nothing is repeated, since somebody takes care of everything."""
        for name in names:
            event = self.find(name)
            by = (event.acknowledged.by,) if event and event.acknowledged else ()
            self._decide(name, "acknowledged", by, channels=channels)

    def _others(self, found: Mapping[str, Channel]) -> list[Channel]:
        """Channels that the route names no more, and that were told: they hear that it is over."""
        known = self.world.channels
        kept = {name: told for name, told in self.record.told.items() if name in known and known[name].enabled}
        kept = {name: told for name, told in kept.items() if known[name].type == told.kind}
        self.has_changed = self.has_changed or len(kept) < len(self.record.told)
        self.record.told = kept
        return [known[name] for name in kept if name not in found]

    def _worst(self, names: Collection[str]) -> str:
        members = self.record.members
        return max(names, key=lambda name: (members[name].active, members[name].rank, name))

    def _notifications(self, channel: Channel, saying: Saying) -> Iterator[Notification]:
        alerts, record = _fitting(self._worded(saying)), self.record
        if not alerts:
            return
        yield Notification(
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
                truncated=len(saying.firing) + len(saying.over) - len(alerts),
                incident=record.incident.id if record.incident else "",
                why={one.fingerprint: why for one in alerts if (why := self._why(one))},
            ),
        )

    def _why(self, event: AlertEvent) -> str:
        joined = self.record.incident.joined.get(event.fingerprint) if self.record.incident else None
        return joined.why if joined else ""

    def _worded(self, saying: Saying) -> Iterator[AlertEvent]:
        """The events to speak of; of very many alerts only so many are looked for."""
        for name in self._first(saying.firing):
            if (event := self.find(name)) is not None:
                yield event
        for name in self._first(saying.over):
            if (event := self.find(name)) is not None:
                yield _as_over(event)

    def _first(self, names: Collection[str]) -> list[str]:
        """The worst first, then the oldest."""
        members = self.record.members
        return heapq.nsmallest(
            _MOST_ALERTS, names, key=lambda name: (-members[name].rank, members[name].fired_ms, name)
        )


def _decided(
    record: GroupRecord,
    name: str,
    now_ms: int,
    outcome: Outcome,
    by: tuple[str, ...] = (),
    until_ms: int = 0,
    *,
    channels: tuple[str, ...] = (),
    sent: Sequence[Notification] = (),
) -> Iterator[Decision]:
    """A decision, unless it is the one before: that something still keeps an alert quiet is said once."""
    member, said = record.members[name], f"{outcome} {' '.join(by)}"
    if not sent and member.said == said:
        return
    member.said = said
    yield decision(
        Subject(name, member.rule_id, member.event_id),
        outcome,
        now_ms,
        (record.key, name, now_ms, said, *(one.id for one in sent)),
        channels=channels,
        until_ms=until_ms,
        sent=sent,
        reason=next((one.group.reason for one in sent if one.group), ""),
        by=by,
        route=record.route,
        group_key=record.told_as,
    )


def _as_over(event: AlertEvent) -> AlertEvent:
    """An alert that is over in this group, though it may go on in another."""
    if event.status != "resolved":
        return msgspec.structs.replace(event, type="resolved", status="resolved", reason="routed elsewhere")
    return event


def _fitting(events: Iterator[AlertEvent]) -> list[AlertEvent]:
    """As many as go into one record, at least one."""
    size, found = 0, list[AlertEvent]()
    for event in itertools.islice(events, _MOST_ALERTS):
        size += len(msgspec.json.encode(event))
        if found and size > _MOST_BYTES:
            break
        found.append(event)
    return found
