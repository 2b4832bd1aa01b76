"""The simplest route: a rule's own `notifications`. Each event by itself, at once, unless something keeps it quiet."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.decisions import decision
from tocsin.engine.route.inhibition import Wait
from tocsin.engine.route.muting import Mute, Muting
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.unroutable import unroutable
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.decision import Decision, Outcome
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Notification

_NOBODY_LEFT: Final = "none of its channels is there and enabled by now; add or enable one"


@dataclass(frozen=True, slots=True)
class Direct:
    """Tells channels at a time, and adds what is said to the lists."""

    channels: Mapping[str, Channel]
    types: Collection[str]
    muting: Muting
    at_ms: int
    notifications: list[Notification]
    unroutable: list[Delivery]
    decisions: list[Decision]

    def take(self, record: RouteRecord, event: AlertEvent) -> None:
        """Apply an event of an alert."""
        caring = self._caring(record, event)
        if event.type == "firing":
            record.told, record.held_ms, record.awaits_ms, record.said = {}, 0, 0, ""
            if event.notifications:
                wait = self.muting.wait_of(event)
                self._unless_muted(record, event, wait and wait._replace(hold_ms=self.at_ms + wait.hold_ms))
        elif event.type == "changed" and (record.told or record.held_ms or _is_unheard_of(event)):
            self._unless_muted(record, event, self._left(record, event))
        elif event.type == "acknowledged" and record.held_ms:
            record.held_ms, record.awaits_ms, record.event = 0, 0, None  # somebody knows
            self._decide(record, event, Mute("acknowledged", (event.acknowledged.by,) if event.acknowledged else ()))
        elif event.is_said_again and record.told:
            self._unless_muted(record, event)
        elif event.type == "unacknowledged" and (record.held_ms or record.said.startswith("acknowledged")):
            self._unless_muted(record, event)  # what waits is out of date, or it was acknowledged before it was told
        elif event.type == "resolved":
            self._tell_resolved(record, event)
        self.notifications.extend(notification(event, channel) for channel in caring)

    def _caring(self, record: RouteRecord, event: AlertEvent) -> list[Channel]:
        """Who is told that somebody takes care, or does not any more, whatever keeps the alert quiet by now. What is
        said again at its time goes to all who heard."""
        if event.type not in ("acknowledged", "unacknowledged") or event.is_said_again:
            return []
        return [channel for channel in self._heard(record) if channel.enabled and channel.hears_of_care]

    def look(self, record: RouteRecord) -> bool:
        """Look again at an alert that waits; whether its record changed."""
        if not record.held_ms or record.event is None:
            return False
        if record.held_ms > self.at_ms and not record.awaits_ms:
            return False  # quiet since then: a tick may be read late, and be older than what keeps the alert quiet
        before, said = (record.held_ms, record.awaits_ms, record.said), len(self.notifications)
        if left := self._left(record, record.event):
            record.awaits_ms = left.awaits_ms  # a later one, where rules are in force that wait longer for samples
            return record.awaits_ms != before[1]
        self._unless_muted(record, record.event)
        late = format_instant(self.at_ms)
        self.notifications[said:] = [msgspec.structs.replace(one, created_at=late) for one in self.notifications[said:]]
        return (record.held_ms, record.awaits_ms, record.said) != before

    def _left(self, record: RouteRecord, event: AlertEvent) -> Wait | None:
        """What a held alert still waits for, and until when."""
        wait = self.muting.wait_of(event) if record.held_ms > self.at_ms else None
        return wait and wait._replace(hold_ms=record.held_ms)

    def _unless_muted(self, record: RouteRecord, event: AlertEvent, wait: Wait | None = None) -> None:
        """Tell it, unless it is quiet, or is to `wait`, for so long that `hold_ms` is a point in time."""
        mute = self._mute(event, wait)
        record.awaits_ms = wait.awaits_ms if wait else 0
        if mute is None:
            record.held_ms, record.event = 0, None
            if record.told:
                self._tell(record, event, self._heard(record))
            else:
                self._tell_firing(record, event)
            return
        if wait:
            record.held_ms = wait.hold_ms
        elif not 0 < record.held_ms <= self.at_ms:
            record.held_ms = max(self.at_ms, 1)
        record.event = event
        self._decide(record, event, mute, wait.hold_ms if wait and mute.outcome == "waiting" else 0)

    def _decide(self, record: RouteRecord, event: AlertEvent, mute: Mute, until_ms: int = 0) -> None:
        """Say what keeps it quiet, unless that was said before."""
        if record.said == str(mute):
            return
        record.said = str(mute)
        found = tuple(find_channels(event.notifications, self.channels, self.types)[0])
        heard = tuple(record.told) or found or event.notifications
        self.decisions.append(_decision(event, mute.outcome, self.at_ms, mute.by, until_ms=until_ms, channels=heard))

    def _mute(self, event: AlertEvent, wait: Wait | None) -> Mute | None:
        muting = self.muting
        if muting.is_idle:
            return None
        mute = muting.why(routing_labels(event), event.fired_ms, self.at_ms)
        return mute or (Mute("waiting", ()) if wait else None)

    def _tell_firing(self, record: RouteRecord, event: AlertEvent) -> None:
        found, missing = find_channels(event.notifications, self.channels, self.types)
        record.told = {channel.id: channel.type for channel in found.values()}
        self._tell(record, event, found.values())
        self.unroutable.extend(unroutable(event, name, why) for name, why in missing.items())

    def _tell_resolved(self, record: RouteRecord, event: AlertEvent) -> None:
        """Who was told that it fires is told that it is over, whatever keeps it quiet by now."""
        heard = [channel for channel in self._heard(record) if channel.sends_resolved]
        if record.held_ms:
            record.event = None
        record.told, record.held_ms, record.awaits_ms = {}, 0, 0
        self._tell(record, event, heard)
        record.said = ""

    def _tell(self, record: RouteRecord, event: AlertEvent, channels: Collection[Channel]) -> None:
        """What was never held back stands under `deliveries` alone; otherwise the last decision must not be that it is
        quiet."""
        told = [notification(event, channel) for channel in channels if channel.enabled]
        self.notifications.extend(told)
        if record.said and told:
            self.decisions.append(_decision(event, "sent", self.at_ms, sent=told, reason="held back before"))
        elif record.said and event.is_active:
            heard = tuple(record.told) or event.notifications
            self.decisions.append(_decision(event, "no route", self.at_ms, channels=heard, reason=_NOBODY_LEFT))
        record.said = ""

    def _heard(self, record: RouteRecord) -> list[Channel]:
        """Channels that were told and are still what they were."""
        known = self.channels
        return [known[name] for name, kind in record.told.items() if name in known and known[name].type == kind]


def _is_unheard_of(event: AlertEvent) -> bool:
    """Whether an alert that nobody was told of is to be told after all: it got worse than what somebody took care of
    while it was quiet, or its rule named no channel that was there."""
    return event.status == "firing" and bool(event.notifications)


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


def _decision(
    event: AlertEvent,
    outcome: Outcome,
    at_ms: int,
    by: tuple[str, ...] = (),
    *,
    until_ms: int = 0,
    channels: tuple[str, ...] = (),
    sent: Sequence[Notification] = (),
    reason: str = "",
) -> Decision:
    return decision(
        event,
        outcome,
        at_ms,
        (event.id, at_ms, outcome, *by),
        channels=channels,
        until_ms=until_ms,
        sent=sent,
        reason=reason,
        by=by,
    )
