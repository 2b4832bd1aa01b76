"""Who hears of alerts, by the definitions, from runs as route took them: the oracle of route.

It takes from a run what lay on the log, when, and up to where its process had read configuration and states; what
follows from that is in here, which shares no code with route.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tocsin.engine.simulation.broker import ALERTS
from tocsin.engine.simulation.model_groups import GroupModel
from tocsin.engine.simulation.model_quiet import Past, Place, Settings, Why, taking
from tocsin.engine.simulation.routing import Attempt, event_of, grouped_of
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.grouping import Join
from tocsin.schemas.labels import stable_id


class Joined(NamedTuple):
    """An alert sent to a group, or out of it: the group, the number of the alert's event, whether it leaves."""

    group: str
    sequence: int
    left: bool


@dataclass
class Direct:
    """An alert whose rule names channels: who was told that it fires, and what waits to be told, until when."""

    told: list[str] = field(default_factory=list)
    waiting: AlertEvent | None = None
    until_ms: int = 0
    is_to_wait: bool = False  # for what may inhibit it, rather than for the end of what does
    is_cared_for: bool = False  # somebody acknowledged it before anybody could be told


class RouteModel:
    """One partition of `alerts` and of `groups`."""

    def __init__(self, channels: Sequence[Channel], past: Past) -> None:
        self._channels, self._past = channels, past
        self.groups = GroupModel(channels)
        self.told: dict[str, list[tuple[str, str]]] = {}  # alert -> channel, notification id
        self.joins: dict[str, list[Joined]] = {}
        self.quiet: set[tuple[str, str, Why]] = set()
        self.events: set[tuple[str, int]] = set()
        self._direct: dict[str, Direct] = {}
        self._routed: dict[str, tuple[AlertEvent, dict[str, Place]]] = {}
        self._clock_ms = 0

    def take(self, attempt: Attempt) -> None:
        """A run."""
        settings = self._past.at(attempt.known)
        if attempt.topic == ALERTS:
            timed = [event_of(record) for record in attempt.records]
            at_ms = max(at_ms for at_ms, _ in timed)
            for _, event in timed:
                if (event.fingerprint, event.sequence) not in self.events:
                    self.events.add((event.fingerprint, event.sequence))
                    self._alert(event, at_ms, settings)
            return
        self.groups.has_changed = False
        clock_ms = self._clock_ms
        for at_ms, item in (grouped_of(record) for record in attempt.records):
            clock_ms = max(clock_ms, at_ms)
            if isinstance(item, Join):
                self.groups.join(item, clock_ms, settings)
            else:
                self.groups.tick(clock_ms, settings)
        if self.groups.has_changed:
            self._clock_ms = clock_ms
        self._look_again(clock_ms, settings)

    def _alert(self, event: AlertEvent, at_ms: int, settings: Settings) -> None:
        name, names = event.fingerprint, event.notifications
        direct = self._direct.setdefault(name, Direct())
        if event.type == "firing":
            direct = self._direct[name] = Direct()
            if names:
                self._tell_unless(direct, event, at_ms, settings, at_ms + _hold_ms(event, settings))
        elif event.type == "changed" and (direct.told or direct.waiting or (names and event.status == "firing")):
            is_held = direct.waiting and _hold_ms(event, settings)
            self._tell_unless(direct, event, at_ms, settings, direct.until_ms if is_held else at_ms)
        elif event.type == "acknowledged" and direct.waiting:
            direct.waiting, direct.is_cared_for = None, True
        elif _is_told_anew(direct, event):
            self._tell_unless(direct, event, at_ms, settings, at_ms)
        elif event.type == "resolved":
            sends = {channel.id for channel in self._channels if channel.sends_resolved}
            self._say(event, [channel for channel in direct.told if channel in sends])
            self._direct[name] = Direct()
        self._send(event, settings)

    def _tell_unless(self, direct: Direct, event: AlertEvent, at_ms: int, settings: Settings, until_ms: int) -> None:
        """Tell it unless something keeps it quiet, or may do so by a time."""
        why = settings.why(routing_labels(event), event.fired_ms, at_ms)
        if why is not None:
            self.quiet.add(("", event.fingerprint, why))
        if why is not None or until_ms > at_ms:
            is_new = until_ms > at_ms or direct.waiting is None
            direct.until_ms = until_ms if is_new else min(direct.until_ms, at_ms)
            direct.waiting, direct.is_to_wait = event, until_ms > at_ms
            return
        direct.waiting, direct.is_cared_for = None, False
        if not direct.told:
            named = [one for one in self._channels if {one.id, one.type} & {*event.notifications} and one.enabled]
            direct.told = [channel.id for channel in named]
        self._say(event, direct.told)

    def _say(self, event: AlertEvent, channels: Sequence[str]) -> None:
        found = self.told.setdefault(event.fingerprint, [])
        found += [(channel, stable_id("notification", event.id, channel)) for channel in channels]

    def _send(self, event: AlertEvent, settings: Settings) -> None:
        """To the groups that it belongs to, and out of those that it belongs to no more."""
        if event.status in ("firing", "acknowledged"):
            if not event.notifications:
                _, before = self._routed.get(event.fingerprint, (event, {}))
                wanted = _wanted(event, settings)
                self._move(event, before, wanted, wanted)
        elif event.status == "resolved" and event.fingerprint in self._routed:
            _, before = self._routed.pop(event.fingerprint)
            self.joins.setdefault(event.fingerprint, []).extend(Joined(key, event.sequence, False) for key in before)

    def _move(
        self, event: AlertEvent, before: dict[str, Place], wanted: dict[str, Place], told: dict[str, Place]
    ) -> None:
        """`told` are the groups that are to hear of it; those that it leaves hear of that."""
        joins = self.joins.setdefault(event.fingerprint, [])
        joins += [Joined(key, event.sequence, True) for key in before if key not in wanted]
        joins += [Joined(key, event.sequence, False) for key in told]
        self._routed[event.fingerprint] = event, wanted

    def _look_again(self, now_ms: int, settings: Settings) -> None:
        """What waited long enough is told, if nothing keeps it quiet by now; other routes send alerts elsewhere."""
        for direct in self._direct.values():
            if direct.waiting is None:
                continue
            has_waited = direct.is_to_wait and not _hold_ms(direct.waiting, settings)
            if direct.until_ms <= now_ms or has_waited:
                self._tell_unless(direct, direct.waiting, now_ms, settings, now_ms)
        for event, before in list(self._routed.values()):
            wanted = _wanted(event, settings)
            if list(wanted) != list(before):  # the order of routes is that in which groups hear of it
                self._move(event, before, wanted, {key: one for key, one in wanted.items() if key not in before})


def _is_told_anew(direct: Direct, event: AlertEvent) -> bool:
    """Whether it is said once more, or given back while something waits or before anybody could be told."""
    is_given_back = event.type == "unacknowledged" and (direct.waiting is not None or direct.is_cared_for)
    return is_given_back or (event.is_said_again and bool(direct.told))


def _hold_ms(event: AlertEvent, settings: Settings) -> int:
    return settings.wait(routing_labels(event), event.fired_ms)[0]


def _wanted(event: AlertEvent, settings: Settings) -> dict[str, Place]:
    if settings.routing is None:
        return {}
    labels = routing_labels(event)
    found: dict[str, Place] = {}
    for place in taking(settings.routing["route"], labels):
        by = place.said["group_by"]
        names = sorted(labels) if "..." in by else sorted(by)
        shown = ",".join(f'{name}="{labels[name]}"' for name in names if labels.get(name))
        found[f"{place.key}:{{{shown}}}"] = place
    return found
