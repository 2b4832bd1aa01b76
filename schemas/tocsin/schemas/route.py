"""Routing: the tree that says who is told about which alerts, how they are grouped, and when.

The names and the meaning of fields are Alertmanager's, but for `match` (as in rules) and `channels`.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tocsin.schemas.correlation import Correlation
from tocsin.schemas.duration import Duration
from tocsin.schemas.inhibition import Dependencies, Inhibition
from tocsin.schemas.interval import TimeInterval
from tocsin.schemas.kinds import Id, LabelName
from tocsin.schemas.problems import Path, Problem, Wrong
from tocsin.schemas.rule import Matchers

ROUTING_ID: Final = "routing"
ALL_LABELS: Final = "..."
MAX_DEPTH: Final = 16
MAX_ROUTES: Final = 2_000


def _grouping(value: object) -> object:
    if isinstance(value, list | tuple) and ALL_LABELS in value:
        if len(value) > 1:
            raise ValueError("'...' means every label, so nothing goes beside it; remove the others")
        return ALL_LABELS
    if isinstance(value, list | tuple) and len(set(map(str, value))) < len(value):
        raise ValueError("names a label twice; remove one")
    return value


GroupBy = Annotated[tuple[LabelName, ...] | str, BeforeValidator(_grouping, json_schema_input_type=list[str])]


class Route(BaseModel):
    """A node of the tree. What is not given comes from the node above; matchers and times are its own."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    match: Matchers = ()
    channels: tuple[Id, ...] | None = Field(default=None, max_length=64, description="channel ids or types")
    group_by: GroupBy | None = Field(default=None, description="labels; ['...'] for all, [] for one group")
    group_wait: Duration | None = Field(default=None, description="before the first notification of a group; 30s")
    group_interval: Duration | None = Field(default=None, description="between notifications of a group; 5m")
    repeat_interval: Duration | None = Field(default=None, description="before what has not changed is said again; 4h")
    resolve_at_once: bool | None = Field(default=None, description="say so as soon as a whole group is over; true")
    mute_time_intervals: tuple[Id, ...] = Field(default=(), max_length=64)
    active_time_intervals: tuple[Id, ...] = Field(default=(), max_length=64)
    continues: bool = Field(default=False, alias="continue", description="look at the routes after this one too")
    routes: tuple["Route", ...] = Field(default=(), max_length=500)

    @model_validator(mode="after")
    def _sane(self) -> Self:
        problems: list[Problem] = [
            ((name,), "must be longer than zero; leave it out for the default")
            for name in ("group_interval", "repeat_interval")
            if getattr(self, name) == 0
        ]
        if isinstance(self.group_by, str) and self.group_by != ALL_LABELS:
            problems.append((("group_by",), f"must be a list of labels; write [{self.group_by[:40]}]"))
        if problems:
            raise Wrong(*problems)
        return self

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, "Route"]]:
        """Every node below this one and itself, with its path; parents first."""
        yield path, self
        for place, child in enumerate(self.routes):
            yield from child.walk((*path, "routes", place))


class Routing(BaseModel):
    """All of it, in force at once: one entry on the topic `routes`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    id: Id = ROUTING_ID
    route: Route
    time_intervals: tuple[TimeInterval, ...] = Field(default=(), max_length=500)
    inhibit_rules: tuple[Inhibition, ...] = Field(default=(), max_length=500)
    dependencies: tuple[Dependencies, ...] = Field(default=(), max_length=50)
    correlations: tuple[Correlation, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        problems: list[Problem] = list(_root_problems(self.route))
        nodes = list(self.route.walk(("route",)))
        if len(nodes) > MAX_ROUTES:
            problems.append((("route",), f"has over {MAX_ROUTES} routes; remove some"))
        known = [interval.name for interval in self.time_intervals]
        for place, name in enumerate(known):
            if name in known[:place]:
                problems.append((("time_intervals", place, "name"), f"{name!r} stands twice; rename one"))
        for path, node in nodes:
            if len(path) > 2 * MAX_DEPTH:
                problems.append((path, f"lies deeper than {MAX_DEPTH} levels; flatten the tree"))
            problems += _unknown_times(path, node, known)
        problems += _correlation_problems(self.correlations, {graph.label for graph in self.dependencies})
        if problems:
            raise Wrong(*problems)
        return self

    def document(self) -> dict[str, Any]:
        """As users write it, without what was not said."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _root_problems(root: Route) -> Iterator[Problem]:
    if not root.channels:
        yield ("route", "channels"), "is missing: alerts that no route takes go there; name a channel"
    for name, alias in (("match", "match"), ("continues", "continue")):
        if getattr(root, name):
            yield ("route", alias), "does not go with the first route, which takes every alert; remove it"
    for name in ("mute_time_intervals", "active_time_intervals"):
        if getattr(root, name):
            yield ("route", name), "do not go with the first route; put them into one below it"


def _correlation_problems(correlations: Sequence[Correlation], graphs: set[str]) -> Iterator[Problem]:
    names: set[str] = set()
    for place, one in enumerate(correlations):
        if one.name in names:
            yield ("correlations", place, "name"), f"{one.name!r} stands twice; rename one"
        names.add(one.name)
        if one.along is not None and one.along not in graphs:
            yield ("correlations", place, "along"), f"there is no graph over {one.along!r}; add it under dependencies"


def _unknown_times(path: Path, node: Route, known: list[str]) -> Iterator[Problem]:
    for name in ("mute_time_intervals", "active_time_intervals"):
        for place, wanted in enumerate(getattr(node, name)):
            if wanted not in known:
                near = difflib.get_close_matches(wanted, known, n=1)
                mend = f"did you mean {near[0]!r}?" if near else "add it under time_intervals"
                yield (*path, name, place), f"there is no time interval {wanted!r}; {mend}"
