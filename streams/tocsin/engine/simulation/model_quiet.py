"""What keeps an alert quiet, and where it goes, straight from what users wrote: plain loops and regular expressions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from tocsin.engine.simulation.routes import BUSY, Document
from tocsin.engine.simulation.routing import alert_in
from tocsin.engine.simulation.world import World
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.duration import parse_duration
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.mark import Late, Passed, WorkedOff

Labels = Mapping[str, str]
Why = tuple[str, tuple[str, ...]]  # what it is called in decisions, and what does it
DEFAULTS: Final[Document] = {
    "channels": (), "group_by": (), "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h",
    "resolve_at_once": True,
}  # fmt: skip
GONE: Final = DEFAULTS | {"group_wait": "0s"}  # a route that is no more
_OWN: Final = ("match", "continue", "routes", "mute_time_intervals", "active_time_intervals")
NEVER_MS: Final = -(2**62)
_ALWAYS_MS: Final = 2**62
_DAY_MS: Final = 86_400_000


@lru_cache
def _parts(matcher: str) -> tuple[str, str, str]:
    return re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher).groups()  # type: ignore[union-attr, return-value]


def meets(matchers: Sequence[str], labels: Labels) -> bool:
    """Whether labels meet all matchers."""
    for name, op, value in map(_parts, matchers):
        has = labels.get(name, "")
        held = re.fullmatch(value, has) is not None if "~" in op else has == value
        if held == op.startswith("!"):
            return False
    return True


@lru_cache
def length(text: str) -> int:
    """A duration in milliseconds."""
    return parse_duration(text)


@dataclass(frozen=True)
class Place:
    """A route, and all that is in force there."""

    key: str
    said: Document


def places(node: Document, above: Document = DEFAULTS, key: str = "{}") -> Iterator[Place]:
    """All routes from a node on."""
    here = {name: value for name, value in {**above, **node}.items() if name not in _OWN or name in node}
    below = {name: value for name, value in here.items() if name not in _OWN}
    yield Place(key, here)
    for child in node.get("routes", ()):
        yield from places(child, below, f"{key}/{{{','.join(child['match'])}}}")


def taking(node: Document, labels: Labels, above: Document = DEFAULTS, key: str = "{}") -> list[Place]:
    """The routes that take an alert."""
    if not meets(node.get("match", []), labels):
        return []
    here = {name: value for name, value in {**above, **node}.items() if name not in _OWN or name in node}
    below = {name: value for name, value in here.items() if name not in _OWN}
    found: list[Place] = []
    for child in node.get("routes", ()):
        taken = taking(child, labels, below, f"{key}/{{{','.join(child['match'])}}}")
        found += taken
        if taken and not child.get("continue"):
            break
    return found or [Place(key, here)]


@dataclass
class Settings:
    """What was in force and which alerts were active, as a process knew it."""

    routing: Document | None
    silences: dict[str, Document]
    active: dict[str, dict[str, str]]
    reached_ms: int
    late: set[Late]
    _places: dict[str, Document] = field(default_factory=dict)

    def place(self, key: str) -> Document:
        """What is in force at a route."""
        if not self._places and self.routing:
            self._places.update({place.key: place.said for place in places(self.routing["route"])})
        return self._places.get(key, GONE)

    def wait(self, labels: Labels, fired_ms: int) -> tuple[int, int]:
        """How long an alert waits for what may inhibit it, and for which watermark; 0 if not at all."""
        found = []
        for rule in (*(self.routing or {}).get("inhibit_rules", ()), *(self.routing or {}).get("dependencies", ())):
            until_ms = fired_ms + self._lag_ms(rule.get("source", ()))
            if until_ms > self.reached_ms and length(rule["hold"]) and _may_hit(rule, labels):
                found.append((length(rule["hold"]), until_ms))
        return max((hold for hold, _ in found), default=0), max((until for _, until in found), default=0)

    def _lag_ms(self, source: Sequence[str]) -> int:
        found = [0]
        for one in self.late:
            known = {"alertname": one.alertname or "", "severity": one.severity or "", "category": one.category or ""}
            if meets([matcher for matcher in source if _parts(matcher)[0] in known], known):
                found.append(one.ms)
        return max(found)

    def why(self, labels: Labels, fired_ms: int, at_ms: int, said: Document | None = None) -> Why | None:
        """What keeps an alert quiet: alerts, hours of a route, silences."""
        if by := self._inhibitors(labels):
            return "inhibited", tuple(sorted(by))
        if said is not None and (hours := _hours(said, at_ms)):
            return "outside hours", hours
        ids = [name for name, one in self.silences.items() if _silences(one, labels, fired_ms, at_ms)]
        return ("silenced", tuple(sorted(ids))) if ids else None

    def _inhibitors(self, labels: Labels) -> set[str]:
        found: set[str] = set()
        for rule in (self.routing or {}).get("inhibit_rules", ()):
            if meets(rule["target"], labels):
                found |= {name for name, one in self.active.items() if _inhibits(rule, one, labels)}
        for graph in (self.routing or {}).get("dependencies", ()):
            for needed in graph["needs"].get(labels.get(graph["label"], ""), ()):
                found |= {name for name, one in self.active.items() if one.get(graph["label"]) == needed}
        return found


def inhibits(routing: Document | None) -> bool:
    """Whether alerts may keep others quiet under a routing."""
    return bool(routing and {"inhibit_rules", "dependencies"} & routing.keys())


def _may_hit(rule: Document, labels: Labels) -> bool:
    """Whether something may inhibit an alert: a source has the same values of the labels that must be equal."""
    if "needs" in rule:
        return bool(rule["needs"].get(labels.get(rule["label"], "")))
    shared = [matcher for matcher in rule["source"] if _parts(matcher)[0] in rule["equal"]]
    return meets(rule["target"], labels) and meets(shared, labels)


def _inhibits(rule: Document, one: Labels, target: Labels) -> bool:
    are_alike = all(one.get(name, "") == target.get(name, "") for name in rule["equal"])
    is_mutual = meets(rule["source"], target) and meets(rule["target"], one)
    return meets(rule["source"], one) and are_alike and not is_mutual


def _hours(said: Document, at_ms: int) -> tuple[str, ...]:
    minute = at_ms % _DAY_MS // 60_000
    begin, end = (int(text[:2]) * 60 + int(text[3:]) for text in BUSY)
    is_busy = begin <= minute < end
    if said.get("active_time_intervals") and not is_busy:
        return ("busy",)
    return ("busy",) if said.get("mute_time_intervals") and is_busy else ()


def _silences(silence: Document, labels: Labels, fired_ms: int, at_ms: int) -> bool:
    begin, end = parse_instant(silence["starts_at"]), parse_instant(silence["ends_at"])
    is_about = not (silence.get("ends_with_alert") and fired_ms > begin)
    return is_about and begin <= at_ms < end and meets(silence["match"], labels)


class Past:
    """What was in force at each moment that matters: the writes up to which some process had read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._states: list[tuple[int, AlertEvent]] = []
        may_inhibit = any(inhibits(document) for _, document in world.routings)
        for number, value in world.broker.states if may_inhibit else ():
            if value is not None:
                self._states.append((number, alert_in(value)))
        self._found: dict[int, Settings] = {}

    def at(self, write: int) -> Settings:
        """Everything that was written up to a write."""
        found = self._found.get(write)
        if found is None:
            found = self._found[write] = self._make(write)
        return found

    def _make(self, write: int) -> Settings:
        routing: Document | None = None
        for number, document in self._world.routings:
            if number <= write:
                routing = document
        silences = {name: silence for number, name, silence in self._world.silences if number <= write}
        latest: dict[str, AlertEvent] = {}
        for number, event in self._states:
            before = latest.get(event.fingerprint)
            if number <= write and (before is None or event.sequence > before.sequence):
                latest[event.fingerprint] = event
        reached_ms, late = self._reached(write) if inhibits(routing) else (_ALWAYS_MS, set())
        active = {name: one for name, one in latest.items() if one.status in ("firing", "acknowledged")}
        return Settings(
            routing,
            {name: one for name, one in silences.items() if one is not None},
            {name: routing_labels(one) for name, one in active.items() if not one.drill},
            reached_ms,
            late,
        )

    def _reached(self, write: int) -> tuple[int, set[Late]]:
        """The lowest watermark of all partitions whose signals were worked off, by marks up to a write."""
        marks = [(name, mark) for number, name, mark in self._world.broker.marks if number <= write]
        positions = [0] * self._world.scenario.partitions
        for name, mark in marks:
            if isinstance(mark, WorkedOff):
                partition = int(name.split("/")[1])
                positions[partition] = max(mark.position, positions[partition])
        best: dict[str, Passed] = {}
        for name, mark in marks:
            if isinstance(mark, Passed) and all(end <= at for end, at in zip(mark.ends, positions, strict=True)):
                best[name] = max(mark, best.get(name, mark), key=lambda one: one.watermark_ms)
        if len(best) < self._world.scenario.partitions:
            return NEVER_MS, set()
        return min(one.watermark_ms for one in best.values()), {late for one in best.values() for late in one.late}
