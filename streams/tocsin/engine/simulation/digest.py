"""All that an evaluate partition knows, field by field, as one comparable value."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tocsin.engine.evaluate.cell import KEEPING, PENDING
from tocsin.engine.evaluate.columns import CHUNK
from tocsin.engine.evaluate.judge import Judge
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.statistics import statistics_of
from tocsin.engine.frame import Ints
from tocsin.schemas.rule import AGGREGATIONS


def digest(state: PartitionState) -> dict[str, Any]:
    """The state, as plain values, without what can no longer matter and a checkpoint may have forgotten."""
    lanes = state.lanes
    flows = {late: {n: w.pack() for n, w in flow.waiting.items() if len(w)} for late, flow in state.flows.items()}
    columns = state.series.columns
    return {
        "offset": state.offset,
        "plan": (state.plan.offset, sorted((v.rule.id, v.revision, v.epoch) for v in state.plan.versions.values())),
        "clock": (state.clock_ms, state.looked_s),
        "topics": {name: topic.pack() for name, topic in state.topics.items()},
        "series": (state.series.keys, state.series.free, [columns.pack(c) for c in _chunks(columns.count)]),
        "sources": state.series.sources,
        "waiting": flows,
        "lanes": {key: _lane(lane) for key, lane in lanes.items()},
    }


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The names of the parts that differ."""
    return ", ".join(name for name in one if one[name] != other[name])


def _chunks(count: int) -> range:
    return range(-(-count // CHUNK))


def _lane(lane: Lane) -> Any:
    chunks = _chunks(lane.columns.count)
    wanted, known = (_figures(names) for names in (lane.aggregates, AGGREGATIONS))
    columns = [  # a figure that no rule asks for any more may be left over
        {name: packed for name, packed in lane.columns.pack(chunk).items() if name not in known or name in wanted}
        for chunk in chunks
    ]
    derived = [derivation.columns.pack(chunk) for derivation in lane.derivations.values() for chunk in chunks]
    judges = {key: _judge(judge, lane.columns["judged"]) for key, judge in lane.judges.items()}
    return lane.header(), columns, derived, judges, lane.pack_more(0, lane.columns.count)


def _figures(aggregations: Iterable[str]) -> set[str]:
    return {name for statistic in statistics_of(aggregations).values() for name in statistic.figures}


def _judge(judge: Judge, judged_ms: Ints) -> Any:
    """States, of what is not at rest when it began, and of what has a time to come when that is: what else is kept says
    nothing."""
    count = judge.columns.count
    state, due = judge.columns["state"][:count], judge.columns["due"][:count]
    cells = []
    for (slot, owner), cell in judge.cells.items():
        states = state[slot, judge.columns_of(owner)].tolist()
        since = [since_ms for since_ms, one in zip(cell.since, states, strict=True) if one]
        is_cold = cell.cool_ms < judged_ms[slot]
        cooldown = None if is_cold else (cell.cool_ms, cell.fired_level)
        if since or not is_cold:
            cells.append((slot, owner, since, cooldown, cell.order_at, cell.order_number, cell.value))
    is_timed = (state == PENDING) | (state == KEEPING)
    return state.tobytes(), np.where(is_timed, due, 0).tobytes(), cells
