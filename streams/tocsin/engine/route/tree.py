"""The route tree, compiled: which nodes take an alert, and what is in force at each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tocsin.engine.route.correlation import Common
from tocsin.engine.route.incidents import PREFIX
from tocsin.schemas.correlation import Correlation
from tocsin.schemas.duration import milliseconds
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.problems import Path
from tocsin.schemas.route import Route, Routing

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Options:
    """What a node says, with what comes from above filled in; durations in milliseconds.

    `group_by` None means every label. An incident goes on for `keep_ms` after its last alert.
    """

    channels: tuple[str, ...] = ()
    group_by: tuple[str, ...] | None = ()
    wait_ms: int = milliseconds("30s")
    interval_ms: int = milliseconds("5m")
    repeat_ms: int = milliseconds("4h")
    resolve_at_once: bool = True
    mute: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    keep_ms: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One route. `key` is the way to it by matchers, and stays as it is when other routes come and go.

    A correlation rule is one too: `common` says which alerts are one incident.
    """

    key: str
    path: Path
    match: tuple[Matcher, ...]
    options: Options
    continues: bool
    children: tuple["Node", ...] = ()
    common: Common | None = None

    def find(self, labels: Labels) -> list["Node"]:
        """The nodes that take an alert: depth first, the deepest ones, further ones only where it goes on."""
        if not matches_all(self.match, labels) or (self.common and self.common.of(labels) is None):
            return []
        found: list[Node] = []
        for child in self.children:
            taken = child.find(labels)
            found += taken
            if taken and not child.continues:
                break
        return found or [self]

    def walk(self) -> Iterator["Node"]:
        """This node and all below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def group_labels(self, labels: Labels) -> dict[str, str]:
        """The labels that an alert is grouped by; one that it lacks is left out."""
        if self.common is not None:
            return self.common.of(labels) or {}
        names = sorted(labels) if self.options.group_by is None else sorted(self.options.group_by)
        return {name: labels[name] for name in names if labels.get(name)}

    def group_key(self, group: Labels) -> str:
        """The group's name: the way to the route, and the labels."""
        return f"{self.key}:{_shown(Matcher(name, '=', value) for name, value in group.items())}"


class Tree:
    """A routing that is in force; `version` is its offset on the topic."""

    def __init__(self, routing: Routing, version: int = 0) -> None:
        self.routing = routing
        self.version = version
        self.root = _node(routing.route, "", ("route",), _ROOT)
        self._correlations: Final = [
            _correlation(place, one, routing) for place, one in enumerate(routing.correlations)
        ]
        self.by_key: Final = {node.key: node for node in (*self._correlations, *self.root.walk())}
        self._intervals: Final = {interval.name: interval for interval in routing.time_intervals}

    def find(self, labels: Labels) -> list[Node]:
        """The nodes that take an alert: correlation rules first, then routes unless one of these keeps it."""
        found: list[Node] = []
        for node in self._correlations:
            taken = node.find(labels)
            found += taken
            if taken and not node.continues:
                return found
        return found + self.root.find(labels)

    def quiet(self, options: Options, at_ms: int) -> tuple[str, ...]:
        """The time intervals that keep a route quiet: active ones if none of them holds, else mute ones that do."""
        if options.active and not any(self._intervals[name].holds(at_ms) for name in options.active):
            return options.active
        return tuple(name for name in options.mute if self._intervals[name].holds(at_ms))


_ROOT: Final = Options()


def _correlation(place: int, of: Correlation, routing: Routing) -> Node:
    given = {"wait_ms": of.group_wait, "interval_ms": of.group_interval, "repeat_ms": of.repeat_interval}
    said = {name: value for name, value in given.items() if value is not None}
    options = replace(_ROOT, channels=of.channels, keep_ms=of.within, **said)  # type: ignore[arg-type]
    common = Common(of, routing)
    return Node(f"{PREFIX}{of.name}", ("correlations", place), of.match, options, of.continues, common=common)


def _node(route: Route, above: str, path: Path, inherited: Options, again: int = 0) -> Node:
    own = _shown(sorted(route.match, key=str)) + (f"#{again + 1}" if again else "")
    key = f"{above}/{own}" if above else own
    options = _options(route, inherited)
    children: list[Node] = []
    counts: dict[str, int] = {}
    for place, child in enumerate(route.routes):
        shown = _shown(sorted(child.match, key=str))
        children.append(_node(child, key, (*path, "routes", place), options, counts.get(shown, 0)))
        counts[shown] = counts.get(shown, 0) + 1
    return Node(key, path, route.match, options, route.continues, tuple(children))


def _options(route: Route, above: Options) -> Options:
    grouping = above.group_by
    if route.group_by is not None:
        grouping = None if isinstance(route.group_by, str) else tuple(route.group_by)
    given = {
        "channels": route.channels,
        "wait_ms": route.group_wait,
        "interval_ms": route.group_interval,
        "repeat_ms": route.repeat_interval,
        "resolve_at_once": route.resolve_at_once,
    }
    said = {name: value for name, value in given.items() if value is not None}
    times = {"mute": route.mute_time_intervals, "active": route.active_time_intervals}
    return replace(above, group_by=grouping, **said, **times)  # type: ignore[arg-type]


def _shown(matchers: "Iterator[Matcher] | list[Matcher]") -> str:
    return "{" + ",".join(map(str, matchers)) + "}"


def taken_by(routing: Routing, labels: Labels) -> list[dict[str, Any]]:
    """The routes that take an alert, JSON-ready: each with its place, its channels and the group."""
    return [
        {
            "route": node.key,
            "path": ".".join(map(str, node.path)),
            "channels": list(node.options.channels),
            "group_key": node.group_key(node.group_labels(labels)),
            "group_labels": node.group_labels(labels),
            "mute_time_intervals": list(node.options.mute),
            "active_time_intervals": list(node.options.active),
        }
        for node in Tree(routing).find(labels)
    ]
