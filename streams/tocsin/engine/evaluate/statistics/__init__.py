"""Statistics and the aggregations they answer: one file and one line of this table each."""

from collections.abc import Iterable
from typing import Final

from tocsin.engine.evaluate.statistic import Statistic
from tocsin.engine.evaluate.statistics import basic, counter, sketch, spread
from tocsin.schemas.rule import quantile_of

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


def statistic_of(aggregation: str) -> Statistic:
    """The statistic that answers an aggregation."""
    return _STATISTICS["quantile" if quantile_of(aggregation) is not None else aggregation]


def statistics_of(aggregations: Iterable[str]) -> dict[str, Statistic]:
    """What panes must keep for some aggregations, by name, in a fixed order; counts always."""
    found = {"count": statistic_of("count")}
    for aggregation in sorted(aggregations):
        statistic = statistic_of(aggregation)
        found.setdefault(statistic.name, statistic)
    return found
