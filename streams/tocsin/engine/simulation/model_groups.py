"""Groups by their definition: what a channel believes follows from every look at its group, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tocsin.engine.simulation.model_quiet import Settings, Why, length
from tocsin.engine.simulation.routes import Document
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.grouping import Join

_RANK: Final = {"info": 0, "warning": 1, "error": 2, "critical": 3}


class Said(NamedTuple):
    """A notification of a group: why, which alerts are active and which over, each with the number of its event."""

    channel: str
    reason: str
    firing: tuple[tuple[str, int], ...]
    over: tuple[tuple[str, int], ...]


@dataclass
class Look:
    """One look at a group: which alerts were over, whom it told of which active ones, and when."""

    at_ms: int
    over: set[str]
    told: dict[str, dict[str, int]] = field(default_factory=dict)  # channel -> alert -> rank


@dataclass
class Belief:
    """What a channel knows: when it was told last, which alerts it believes to be active, and which were named."""

    at_ms: int | None = None
    ranks: dict[str, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


@dataclass
class ModelGroup:
    """A group since it began."""

    route: str
    due_ms: int
    extra_ms: int | None = None
    awaits_ms: int | None = None
    is_flushed: bool = False
    alerts: dict[str, AlertEvent] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    holds: dict[str, int] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    again: set[tuple[str, str]] = field(default_factory=set)  # channel, alert

    @property
    def next_ms(self) -> int:
        """When it is to be looked at."""
        return self.due_ms if self.extra_ms is None else min(self.due_ms, self.extra_ms)

    def active(self) -> dict[str, AlertEvent]:
        """Alerts that are neither over nor elsewhere."""
        return {name: one for name, one in self.alerts.items() if one.status != "resolved" and name not in self.left}

    def belief(self, channel: str) -> Belief:
        """What a channel makes of everything it heard."""
        found = Belief()
        for look in self.looks:
            for name in look.over:
                found.ranks.pop(name, None)
                found.named.discard(name)
            if channel in look.told:
                found.at_ms = look.at_ms
                found.ranks |= look.told[channel]
                found.named = set(look.told[channel])
        return found if found.ranks else Belief()

    def believers(self) -> list[str]:
        """Channels that believe anything to be active."""
        told = dict.fromkeys(channel for look in self.looks for channel in look.told)
        return [channel for channel in told if self.belief(channel).ranks]


class GroupModel:
    """All groups of one partition."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self.groups: dict[str, ModelGroup] = {}
        self.said: dict[str, list[Said]] = {}
        self.quiet: set[tuple[str, str, Why]] = set()  # group, alert, what keeps it quiet
        self._joined: set[tuple[int, int]] = set()
        self.has_changed = False

    def join(self, join: Join, now_ms: int, settings: Settings) -> None:
        """An alert comes, changes or goes."""
        if (join.source, join.number) in self._joined:
            return
        self._joined.add((join.source, join.number))
        self._look_if_due(join.group_key, now_ms, settings)
        name, is_over = join.event.fingerprint, join.left or join.event.status == "resolved"
        group = self.groups.get(join.group_key)
        if is_over and (group is None or not self._knows(group, name)):
            return
        self.has_changed = True
        said = settings.place(join.route)
        wait_ms = length(said["group_wait"])
        begins_ms = now_ms if join.event.fired_ms + wait_ms <= now_ms else now_ms + wait_ms
        if group is None:
            group = self.groups[join.group_key] = ModelGroup(join.route, begins_ms)
        elif not group.is_flushed:
            group.due_ms = min(group.due_ms, begins_ms)
        if not is_over and name not in group.active():
            group.holds[name] = now_ms + settings.wait(routing_labels(join.event), join.event.fired_ms)[0]
        group.alerts[name] = join.event
        (group.left.add if join.left else group.left.discard)(name)
        self._hurry(group, join, said, now_ms, is_over=is_over)
        self._look_if_due(join.group_key, now_ms, settings)

    def _knows(self, group: ModelGroup, name: str) -> bool:
        return name in group.alerts or any(name in group.belief(one).ranks for one in group.believers())

    def _hurry(self, group: ModelGroup, join: Join, said: Document, now_ms: int, *, is_over: bool) -> None:
        """What does not wait for the next look."""
        name = join.event.fingerprint
        heard = {(channel, name) for channel in group.believers() if name in group.belief(channel).ranks}
        if heard and not is_over and join.event.is_said_again:
            group.again |= heard
            group.extra_ms = now_ms
        if is_over and said["resolve_at_once"] and not group.active() and group.believers():
            group.extra_ms = now_ms

    def tick(self, now_ms: int, settings: Settings) -> None:
        """Time passes."""
        for key in sorted(self.groups):
            self._look_if_due(key, now_ms, settings)

    def _look_if_due(self, key: str, now_ms: int, settings: Settings) -> None:
        group = self.groups.get(key)
        if group is None:
            return
        if group.next_ms <= now_ms or (group.awaits_ms is not None and group.awaits_ms <= settings.reached_ms):
            self._look(key, now_ms, settings)

    def _look(self, key: str, now_ms: int, settings: Settings) -> None:
        self.has_changed = True
        group = self.groups[key]
        said = settings.place(group.route)
        interval_ms = length(said["group_interval"])
        is_due, at_ms = group.due_ms <= now_ms, now_ms
        group.extra_ms = group.awaits_ms = None
        if is_due:
            group.is_flushed = True
            at_ms = group.due_ms
            while at_ms + interval_ms <= now_ms:
                at_ms += interval_ms
            group.due_ms = at_ms + interval_ms
        firing = self._firing(key, now_ms, settings, said)
        active = group.active()
        look = Look(at_ms, set(group.alerts) - set(active))
        self._tell(key, look, firing, said)
        group.looks.append(look)
        for name in look.over:
            del group.alerts[name]
        group.left -= look.over
        group.again = {one for one in group.again if one[1] not in look.over}
        if is_due and not group.alerts:
            del self.groups[key]

    def _firing(self, key: str, now_ms: int, settings: Settings, said: Document) -> dict[str, AlertEvent]:
        """The active alerts of a group that nothing keeps quiet."""
        group, firing = self.groups[key], dict[str, AlertEvent]()
        for name, event in group.active().items():
            why = settings.why(routing_labels(event), event.fired_ms, now_ms, said)
            hold_ms, awaits_ms = settings.wait(routing_labels(event), event.fired_ms)
            if why is not None:
                self.quiet.add((key, name, why))
            elif group.holds[name] > now_ms and hold_ms:
                group.extra_ms = min(group.holds[name], group.extra_ms or group.holds[name])
                group.awaits_ms = min(awaits_ms, group.awaits_ms or awaits_ms)
            else:
                firing[name] = event
        return firing

    def _tell(self, key: str, look: Look, firing: Mapping[str, AlertEvent], said: Document) -> None:
        group = self.groups[key]
        named = [
            channel.id
            for name in said["channels"]
            for channel in self._channels
            if name in (channel.id, channel.type) and channel.enabled
        ]
        for channel in (one for one in self._channels if one.id in {*named, *group.believers()}):
            mine = firing if channel.id in named else {}
            belief = group.belief(channel.id)
            over = {name for name in belief.ranks if name in look.over and channel.sends_resolved}
            reason = self._reason(group, channel.id, mine, over, look.at_ms, length(said["repeat_interval"]))
            if not reason:
                continue
            group.again = {one for one in group.again if one[0] != channel.id}
            look.told[channel.id] = {name: _RANK[one.severity] for name, one in mine.items()}
            self.said.setdefault(key, []).append(
                Said(
                    channel.id,
                    reason,
                    tuple(sorted((name, one.sequence) for name, one in mine.items())),
                    tuple(sorted((name, group.alerts[name].sequence) for name in over)),
                )
            )

    @staticmethod
    def _reason(
        group: ModelGroup,
        channel: str,
        firing: Mapping[str, AlertEvent],
        over: set[str],
        at_ms: int,
        repeat_ms: int,
    ) -> str:
        belief = group.belief(channel)
        is_due_again = belief.at_ms is not None and at_ms - belief.at_ms >= repeat_ms
        reasons = {
            "first": bool(firing) and not belief.ranks,
            "new": any(name not in belief.named for name in firing),
            "worse": any(_RANK[one.severity] > belief.ranks.get(name, 9) for name, one in firing.items()),
            "again": any((channel, name) in group.again for name in firing),
            "some resolved": bool(over) and bool(set(belief.ranks) - over),
            "all resolved": bool(over),
            "repeat": is_due_again and any(one.status != "acknowledged" for one in firing.values()),
        }
        return next((name for name, holds in reasons.items() if holds), "")
