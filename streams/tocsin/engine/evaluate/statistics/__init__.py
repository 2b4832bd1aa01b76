"""Statistics and the aggregations they answer: one file and one line of this table each."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from tocsin.engine.evaluate.statistic import Mergeable, Statistic
from tocsin.engine.evaluate.statistics import basic, counter, ends, exact, sketch, spread
from tocsin.schemas.rule import quantile_of

_Kind = TypeVar("_Kind", bound=Statistic)
_STATISTICS: Final[dict[str, Statistic]] = {
    "count": basic.Count(),
    "sum": basic.Total(),
    "avg": basic.Total(),
    "min": basic.Lowest(),
    "max": basic.Highest(),
    "first": basic.Earliest(),
    "last": basic.Latest(),
    "stddev": spread.Spread(),
    "rate": counter.Counter(),
    "increase": counter.Counter(),
    "delta": counter.Counter(),
    "quantile": sketch.Sketch(),
}


# Of groups, whose samples come in any order.
_OF_GROUPS: Final[dict[str, Mergeable]] = {
    "count": basic.Count(),
    "sum": exact.ExactTotal(),
    "avg": exact.ExactTotal(),
    "min": basic.Lowest(),
    "max": basic.Highest(),
    "first": ends.First(),
    "last": ends.Last(),
    "stddev": exact.ExactSpread(),
    "rate": exact.ExactGrowth(),
    "increase": exact.ExactGrowth(),
    "delta": exact.ExactGrowth(),
    "quantile": sketch.Sketch(),
}


def mergeable_of(aggregation: str) -> Mergeable:
    """The statistic that answers an aggregation over a group of series."""
    return _OF_GROUPS["quantile" if quantile_of(aggregation) is not None else aggregation]


def mergeables_of(aggregations: Iterable[str]) -> dict[str, Mergeable]:
    """What panes of groups must keep, by name, in a fixed order; counts always."""
    return _by_name(mergeable_of, aggregations)


def statistic_of(aggregation: str) -> Statistic:
    """The statistic that answers an aggregation."""
    return _STATISTICS["quantile" if quantile_of(aggregation) is not None else aggregation]


def statistics_of(aggregations: Iterable[str]) -> dict[str, Statistic]:
    """What panes must keep for some aggregations, by name, in a fixed order; counts always."""
    return _by_name(statistic_of, aggregations)


def _by_name(find: Callable[[str], _Kind], aggregations: Iterable[str]) -> dict[str, _Kind]:
    found = {"count": find("count")}
    for aggregation in sorted(aggregations):
        statistic = find(aggregation)
        found.setdefault(statistic.name, statistic)
    return found
