"""Checkpoints: what changed since the last one, as entries of a table, valid at one offset.

Every entry has two copies, and the header says which one is in force, and its checksum. A checkpoint writes the other
copy of what changed, then the header: whatever happens in between, the last header and its copies are whole. The
checksum tells when a copy is not the one that the header means: a worker that was thought dead may write late.
"""

import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from tocsin.engine.evaluate.columns import CHUNK
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import compile_plan
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.state import PartitionState, make_lane
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
        copy = 1 - state.parity.get(name, 1) % 2
        state.parity[name] = zlib.crc32(value) * 2 + copy
        entries[f"{name}/{copy}"] = _sealed(value)

    if state.plan.offset != state.plan_saved:
        put("plan", _pack_plan(state))
        state.plan_saved = state.plan.offset
        wanted = {_lane_name(key) for key in state.lanes}
        state.parity = {n: p for n, p in state.parity.items() if not n.startswith("lane/") or n.split("/")[1] in wanted}
    for number, lane in state.lanes.items():
        lane.prune()
        for chunk in lane.dirty_chunks():
            put(f"lane/{_lane_name(number)}/{chunk}", lane.pack(chunk))
    columns = state.series.columns
    for chunk in range(-(-columns.count // CHUNK)):
        if columns.dirty[chunk]:
            put(f"series/{chunk}", state.series.pack(chunk))
    columns.dirty[:] = False
    waiting = {name: samples.pack() for name, samples in state.waiting.items() if len(samples)}
    if waiting:
        put("waiting", msgspec.msgpack.encode(waiting))
    else:
        state.parity.pop("waiting", None)
    header = {
        "format": FORMAT,
        "offset": state.offset,
        "parity": state.parity,
        "sources": state.series.sources,
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
        if name not in state.parity:
            raise DamagedCheckpoint(f"{name} is not in the header")
        check, which = divmod(state.parity[name], 2)
        copy = f"{name}/{which}"
        found = get(copy)
        if found is None:
            raise DamagedCheckpoint(f"{copy} is missing")
        value = _opened(copy, found)
        if zlib.crc32(value) != check:
            raise DamagedCheckpoint(f"{copy} is not the one that the header means")
        return value

    if "waiting" in state.parity:
        packed = msgspec.msgpack.decode(entry("waiting"))
        state.waiting = {name: Samples.unpack(samples) for name, samples in packed.items()}
    if "plan" in state.parity:
        _unpack_plan(state, entry("plan"))
    for topic, partition in header["sources"]:
        state.source_number(topic, partition)
    _restore_columns(state, header["lanes"], entry)
    return state


def _restore_columns(state: PartitionState, lanes: dict[str, Any], entry: Callable[[str], bytes]) -> None:
    for chunk in range(sum(name.startswith("series/") for name in state.parity)):
        state.series.unpack(chunk, entry(f"series/{chunk}"))
    state.series.columns.dirty[:] = False
    for key, spec in state.plan.specs.items():
        lane = state.lanes[key] = make_lane(spec, state.plan.rules[key], state.series)
        lane.late = lanes[key]["late"]
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
