"""All that an evaluate partition knows, field by field, as one comparable value."""

from typing import Any

import msgspec

from tocsin.engine.evaluate.columns import CHUNK
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.state import PartitionState


def digest(state: PartitionState) -> dict[str, Any]:
    """The state, as plain values; what can no longer matter is dropped first, as a checkpoint does."""
    lanes = state.lanes
    for lane in lanes.values():
        lane.prune()
    flows = {late: {n: w.pack() for n, w in flow.waiting.items() if len(w)} for late, flow in state.flows.items()}
    columns = state.series.columns
    return {
        "offset": state.offset,
        "plan": (state.plan.offset, [(v.rule.id, v.revision, v.epoch) for v in state.plan.versions.values()]),
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
    packed = []
    for chunk in _chunks(lane.columns.count):
        found: dict[str, Any] = msgspec.msgpack.decode(lane.pack(chunk))
        # Cells lie in the order in which they were made, or read back: that says nothing.
        found["judges"] = [(key, columns, sorted(cells)) for key, columns, cells in found["judges"]]
        packed.append(found)
    return lane.header(), packed
