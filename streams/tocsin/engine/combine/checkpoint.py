"""Checkpoints of combine: as those of evaluate, of one partition of `partials`."""

import msgspec

from tocsin.engine.combine.lanes import make_group_lane
from tocsin.engine.combine.limits import LimitAlerts
from tocsin.engine.combine.state import CombineState, Gatherer
from tocsin.engine.evaluate.checkpoint import (
    FORMAT,
    drop_lanes,
    pack_plan,
    put_lane,
    put_series,
    read_header,
    read_lane,
    read_series,
    series_header,
    taken_out,
    unpack_plan,
)
from tocsin.engine.evaluate.copies import Copies, Get, sealed
from tocsin.engine.partial import Change


def checkpoint(state: CombineState) -> tuple[dict[str, bytes], bytes]:
    """Entries to write, then the header to write after them. The state notes that they are in force."""
    copies = state.copies
    if state.plan.offset != state.plan_saved:
        copies.put("plan", pack_plan(state.plan))
        state.plan_saved = state.plan.offset
        drop_lanes(copies, state.lanes)
    put_series(copies, state.series)
    for key, lane in state.lanes.items():
        put_lane(copies, key, lane)
    gatherers = {
        source: (one.sequence, one.watermark_ms, one.listened_ms, one.credit_ms, one.clock_ms)
        for source, one in state.gatherers.items()
    }
    header = {
        "format": FORMAT,
        "offset": state.offset,
        "copies": copies.marks,
        "series": series_header(state.series),
        "lanes": {key: lane.header() for key, lane in state.lanes.items()},
        "gatherers": gatherers,
        "wanted": state.wanted,
        "listened_ms": state.listened_ms,
        "clock_ms": state.clock_ms,
        "looked_s": state.looked_s,
        "advanced_ms": state.advanced_ms,
        "sequence": state.sequence,
        "heard": state.heard,
        "early": state.early,
        "limits": state.limits.pack(),
    }
    return copies.written(), sealed(msgspec.msgpack.encode(header))


def restore(get: Get, partition: int) -> CombineState:
    """The state that a checkpoint holds; a new one if there is none. Raises DamagedCheckpoint or NewerCheckpoint."""
    state = CombineState(partition)
    header = read_header(get)
    if header is None:
        return state
    state.copies = Copies(header["copies"])
    state.offset, state.wanted, state.listened_ms = header["offset"], header["wanted"], header["listened_ms"]
    state.clock_ms, state.looked_s = header["clock_ms"], header["looked_s"]
    state.advanced_ms, state.sequence, state.heard = header["advanced_ms"], header["sequence"], header["heard"]
    state.early = msgspec.convert(header["early"], list[Change])
    state.limits = LimitAlerts.unpack(header["limits"])
    state.gatherers = {source: Gatherer(*fields) for source, fields in header["gatherers"].items()}

    def entry(name: str) -> bytes:
        return state.copies.read(get, name)

    refused: dict[str, str] = {}
    if "plan" in state.copies.marks:
        state.plan, refused = unpack_plan(entry("plan"))
        state.plan_saved = state.plan.offset
    with taken_out(refused):
        read_series(state.series, header["series"], entry)
        for key, spec in state.plan.groups.items():
            lane = state.lanes[key] = make_group_lane(spec, state.plan.group_rules[key], state.series)
            read_lane(lane, key, header["lanes"], entry)
        state.find_parts()
        if refused:
            state.take_out(refused)
    return state
