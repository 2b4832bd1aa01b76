"""Checkpoints: what changed since the last one, as entries of a table, valid at one offset.

Every entry has two copies, and the header says which one is in force. A checkpoint writes the other copy of what
changed, then the header: whatever happens in between, the last header and its copies are whole.
"""

import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.engine.evaluate.columns import CHUNK
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lanes import make_lane
from tocsin.engine.evaluate.plan import compile_plan
from tocsin.engine.evaluate.state import PartitionState, make_flows
from tocsin.engine.watermark import TopicProgress
from tocsin.schemas.codec import decode_document, encode_document
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Rule

FORMAT = 1
HEADER = "header"


class DamagedCheckpoint(Exception):
    """An entry that is missing, or not what was written."""


class NewerCheckpoint(Exception):
    """State of a newer tocsin; it is left alone."""


def checkpoint(state: PartitionState) -> tuple[dict[str, bytes], bytes]:
    """Entries to write, then the header to write after them. The state notes that they are in force."""
    entries: dict[str, bytes] = {}

    def put(name: str, value: bytes) -> None:
        state.parity[name] = 1 - state.parity.get(name, 1)
        entries[f"{name}/{state.parity[name]}"] = _sealed(value)

    if state.plan.offset != state.plan_saved:
        put("plan", _pack_plan(state))
        state.plan_saved = state.plan.offset
        wanted = {_lane_name(key) for key in state.lanes}
        state.parity = {n: p for n, p in state.parity.items() if not n.startswith("lane/") or n.split("/")[1] in wanted}
    for key, lane in state.lanes.items():
        lane.prune()
        for chunk in lane.dirty_chunks():
            put(f"lane/{_lane_name(key)}/{chunk}", lane.pack(chunk))
    for name, value in state.series.changed_entries():
        put(name, value)
    for lateness_ms, flow in state.flows.items():
        put(f"waiting/{lateness_ms}", flow.pack())
    header = {
        "format": FORMAT,
        "offset": state.offset,
        "parity": state.parity,
        "sources": state.series.sources,
        "series_topics": state.series.topics,
        "series": state.series.columns.count,
        "topics": {name: topic.pack() for name, topic in state.topics.items()},
        "lanes": {key: lane.header() for key, lane in state.lanes.items()},
        "clock_ms": state.clock_ms,
        "looked_s": state.looked_s,
    }
    return entries, _sealed(msgspec.msgpack.encode(header))


def restore(get: Callable[[str], bytes | None]) -> PartitionState:
    """The state that a checkpoint holds; a new one if there is none. Raises DamagedCheckpoint or NewerCheckpoint."""
    sealed = get(HEADER)
    state = PartitionState()
    if sealed is None:
        return state
    header = msgspec.msgpack.decode(_opened(HEADER, sealed), strict=False)
    if header["format"] > FORMAT:
        raise NewerCheckpoint(f"the checkpoint has format {header['format']}, this tocsin knows {FORMAT}; upgrade it")
    state.offset, state.parity = header["offset"], header["parity"]
    state.clock_ms, state.looked_s = header["clock_ms"], header["looked_s"]
    state.topics = {name: TopicProgress.unpack(packed) for name, packed in header["topics"].items()}

    def entry(name: str) -> bytes:
        copy = f"{name}/{state.parity[name]}"
        found = get(copy)
        if found is None:
            raise DamagedCheckpoint(f"{copy} is missing")
        return _opened(copy, found)

    if "plan" in state.parity:
        _unpack_plan(state, entry("plan"))
    for topic, partition in header["sources"]:
        state.source_number(topic, partition)
    state.series.topics = header["series_topics"]
    for chunk in range(-(-header["series"] // CHUNK)):
        state.series.unpack(chunk, entry(f"series/{chunk}"), entry(f"names/{chunk}"))
    state.series.clear_notes()
    _restore_lanes(state, header["lanes"], entry)
    return state


def _restore_lanes(state: PartitionState, lanes: dict[str, Any], entry: Callable[[str], bytes]) -> None:
    state.flows = make_flows(state.plan)
    for lateness_ms, flow in state.flows.items():
        if f"waiting/{lateness_ms}" in state.parity:
            flow.unpack(entry(f"waiting/{lateness_ms}"))
    for key, spec in state.plan.specs.items():
        lane = make_lane(spec, state.plan.rules[key], state.series)
        state.flows[spec.lateness_ms].lanes[key] = lane
        lane.late, lane.refused = lanes[key]["late"], lanes[key]["refused"]
        for chunk in range(-(-lanes[key]["slots"] // CHUNK)):
            lane.unpack(chunk, entry(f"lane/{_lane_name(key)}/{chunk}"))
        lane.dirty_chunks()


def _pack_plan(state: PartitionState) -> bytes:
    versions = [(encode_document(v.rule), v.revision, v.epoch) for v in state.plan.versions.values()]
    return msgspec.msgpack.encode((state.plan.offset, versions))


def _unpack_plan(state: PartitionState, value: bytes) -> None:
    offset, versions = msgspec.msgpack.decode(value)
    state.plan = compile_plan(
        (RuleVersion(decode_document(Rule, rule), revision, epoch) for rule, revision, epoch in versions), offset
    )
    state.plan_saved = offset


def _lane_name(key: str) -> str:
    return stable_id("lane", key)


def _sealed(value: bytes) -> bytes:
    return zlib.crc32(value).to_bytes(4, "little") + value


def _opened(name: str, sealed: bytes) -> bytes:
    value = sealed[4:]
    if zlib.crc32(value).to_bytes(4, "little") != sealed[:4]:
        raise DamagedCheckpoint(f"{name} is damaged")
    return value
