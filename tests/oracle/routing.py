"""Routing and grouping, slow and obvious: second by second, from the whole history, with plain regular expressions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.duration import parse_duration

Said = tuple[int, str, str, tuple[str, ...], tuple[str, ...]]
DEFAULTS = {
    "group_by": [], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h", "resolve_at_once": True,
}  # fmt: skip
OWN = ("match", "continue", "routes", "mute_time_intervals", "active_time_intervals")
RANK = {"critical": 3, "error": 2, "warning": 1, "info": 0}
CHANNELS = {"slack": "chat"}  # by type
TELLS_RESOLVED = {"pager": True, "mail": False, "chat": True}


def meets(text: str, labels: Mapping[str, str]) -> bool:
    """One matcher."""
    name, op, value = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', text).groups()  # type: ignore[union-attr]
    has = labels.get(name, "")
    held = re.fullmatch(value, has) is not None if "~" in op else has == value
    return held != op.startswith("!")


def routes(node: Mapping[str, Any], labels: Mapping[str, str], above: Mapping[str, Any], path: str) -> list[Any]:
    """The nodes that take an alert, with everything that is in force at them."""
    if not all(meets(text, labels) for text in node.get("match", ())):
        return []
    here = {name: value for name, value in {**above, **node}.items() if name not in OWN or name in node}
    below = {name: value for name, value in here.items() if name not in OWN}
    found = []
    for place, child in enumerate(node.get("routes", ())):
        taken = routes(child, labels, below, f"{path}.{place}")
        found += taken
        if taken and not child.get("continue"):
            break
    return found or [(path, here)]


@dataclass
class Look:
    """One look at a group: what was over, and what each channel was told."""

    over: set[str]
    told: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)


@dataclass
class ModelGroup:
    """A group since it began; everything is derived from its events and the looks at it."""

    setting: Mapping[str, Any]
    began_s: int
    due_s: int
    events: list[AlertEvent] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # went elsewhere
    looks: list[Look] = field(default_factory=list)
    has_flushed: bool = False
    again: set[tuple[str, str]] = field(default_factory=set)  # channel and alert that it is to hear of once more

    def length(self, name: str) -> int:
        return parse_duration(self.setting[name]) // 1_000

    def latest(self) -> dict[str, AlertEvent]:
        return {event.fingerprint: event for event in self.events}

    def active(self) -> dict[str, AlertEvent]:
        latest = self.latest()
        return {name: one for name, one in latest.items() if one.status != "resolved" and name not in self.gone}

    def is_believed(self) -> bool:
        """Whether any channel believes that something is active."""
        return any(self.believed(channel)[1] for channel in TELLS_RESOLVED)

    def believed(self, channel: str) -> tuple[int | None, dict[str, int], set[str]]:
        """When a channel was told last, what it believes to be active with which severity, what was said last."""
        at_s, ranks, last = None, dict[str, int](), set[str]()
        for look in self.looks:
            for name in look.over:
                ranks.pop(name, None)
                last.discard(name)
            if channel in look.told:
                at_s, firing = look.told[channel]
                ranks |= firing
                last = set(firing)
        return at_s, ranks, last


class Model:
    """Feed it events in order, and let each second pass after them."""

    def __init__(self, routing: Mapping[str, Any], silences: Iterable[Mapping[str, Any]], begin_ms: int) -> None:
        self.routing, self.silences, self.begin_ms = routing, list(silences), begin_ms
        self.groups: dict[str, ModelGroup] = {}
        self.current: dict[str, AlertEvent] = {}
        self.where: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
        self.said: list[Said] = []

    def alert(self, event: AlertEvent, now_s: int) -> None:
        """An event comes."""
        name = event.fingerprint
        self.current[name] = event
        wanted = self.where[name]
        if event.status != "resolved":
            labels = routing_labels(event)
            wanted = {}
            for path, setting in routes(self.routing["route"], labels, DEFAULTS, "0"):
                by = sorted(labels) if setting["group_by"] == ["..."] else sorted(setting["group_by"])
                wanted[f"{path}{[(one, labels[one]) for one in by if labels.get(one)]}"] = setting
        for key, setting in self.where[name].items():
            if key not in wanted:
                self.put(key, setting, event, now_s, leaves=True)
        for key, setting in wanted.items():
            self.put(key, setting, event, now_s, leaves=False)
        self.where[name] = wanted if event.status != "resolved" else {}

    def put(self, key: str, setting: Mapping[str, Any], event: AlertEvent, now_s: int, *, leaves: bool) -> None:
        """An event for one group."""
        if key in self.groups and self.groups[key].due_s <= now_s:
            self.look(key, now_s, is_due=True)
        name, is_over = event.fingerprint, leaves or event.status == "resolved"
        group = self.groups.get(key)
        if is_over and (group is None or name not in group.latest()):
            return
        wait_s = parse_duration(setting["group_wait"]) // 1_000
        fired_s = (event.fired_ms - self.begin_ms) // 1_000
        begins_s = now_s if fired_s + wait_s <= now_s else now_s + wait_s
        if group is None:
            group = self.groups[key] = ModelGroup(setting, now_s, begins_s)
        elif not group.has_flushed:
            group.due_s = min(group.due_s, begins_s)
        group.events.append(event)
        (group.gone.add if leaves else group.gone.discard)(name)
        heard = {(channel, name) for channel in TELLS_RESOLVED if name in group.believed(channel)[1]}
        is_again = bool(heard) and not is_over and event.is_said_again
        if is_again:
            group.again |= heard
        if group.due_s <= now_s:
            self.look(key, now_s, is_due=True)
        elif is_again or (is_over and setting["resolve_at_once"] and not group.active() and group.is_believed()):
            self.look(key, now_s, is_due=False)

    def tick(self, now_s: int) -> None:
        """A second is over."""
        for key in sorted(self.groups):
            if self.groups[key].due_s <= now_s:
                self.look(key, now_s, is_due=True)

    def quiet(self, event: AlertEvent, setting: Mapping[str, Any], now_s: int) -> bool:
        """Whether anything keeps an alert quiet."""
        in_minute = 60 <= now_s < 120
        if setting.get("active_time_intervals") and not in_minute:
            return True
        if setting.get("mute_time_intervals") and in_minute:
            return True
        labels, now_ms = routing_labels(event), self.begin_ms + now_s * 1_000
        if any(
            one["starts_at"] <= now_ms < one["ends_at"] and all(meets(text, labels) for text in one["match"])
            for one in self.silences
        ):
            return True
        return any(self.inhibits(rule, labels) for rule in self.routing.get("inhibit_rules", ()))

    def inhibits(self, rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
        """Whether any active alert keeps one with these labels quiet by a rule."""

        def is_source(one: Mapping[str, str]) -> bool:
            return all(meets(text, one) for text in rule["source"])

        def is_target(one: Mapping[str, str]) -> bool:
            return all(meets(text, one) for text in rule["target"])

        others = [routing_labels(one) for one in self.current.values() if one.status != "resolved"]
        return is_target(labels) and any(
            is_source(one)
            and all(one.get(name, "") == labels.get(name, "") for name in rule["equal"])
            and not (is_source(labels) and is_target(one))
            for one in others
        )

    def look(self, key: str, now_s: int, *, is_due: bool) -> None:
        """Tell every channel of a group what it is to be told now."""
        group = self.groups[key]
        active = group.active()
        firing = {name: one for name, one in active.items() if not self.quiet(one, group.setting, now_s)}
        look = Look(over=set(group.latest()) - set(active))
        for channel in dict.fromkeys(CHANNELS.get(name, name) for name in group.setting["channels"]):
            over = {name for name in group.believed(channel)[1] if name in look.over and TELLS_RESOLVED[channel]}
            reason = self.reason(group, channel, firing, over, now_s)
            if reason:
                group.again = {one for one in group.again if one[0] != channel}
                look.told[channel] = now_s, {name: RANK[one.severity] for name, one in firing.items()}
                self.said.append((now_s, channel, reason, tuple(sorted(firing)), tuple(sorted(over))))
        group.looks.append(look)
        group.events = [event for event in group.events if event.fingerprint not in look.over]
        group.gone -= look.over
        group.again = {one for one in group.again if one[1] not in look.over}
        if is_due:
            group.due_s, group.has_flushed = now_s + group.length("group_interval"), True
            if not group.latest():
                del self.groups[key]

    def reason(
        self, group: ModelGroup, channel: str, firing: Mapping[str, AlertEvent], over: set[str], now_s: int
    ) -> str:
        """Why a channel is told, or nothing."""
        at_s, ranks, last = group.believed(channel)
        is_due_again = at_s is not None and now_s - at_s >= group.length("repeat_interval")
        reasons = {
            "first": bool(firing) and not ranks,
            "new": any(name not in ranks or name not in last for name in firing),
            "worse": any(RANK[one.severity] > ranks.get(name, 9) for name, one in firing.items()),
            "again": any((channel, name) in group.again for name in firing),
            "some resolved": bool(over) and bool(set(ranks) - over),
            "all resolved": bool(over),
            "repeat": is_due_again and any(one.status != "acknowledged" for one in firing.values()),
        }
        return next((name for name, holds in reasons.items() if holds), "")
