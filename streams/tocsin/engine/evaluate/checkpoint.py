"""Checkpoints: what changed of one samples partition since the last one, as entries of a table, valid at one offset."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import orjson

from tocsin.engine.evaluate.columns import CHUNK
from tocsin.engine.evaluate.copies import Copies, DamagedCheckpoint, Get, opened, sealed
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.lanes import make_lane
from tocsin.engine.evaluate.plan import Plan, compile_plan
from tocsin.engine.evaluate.refusals import Refusals
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.state import PartitionState, make_flows
from tocsin.engine.watermark import TopicProgress
from tocsin.schemas.as_written import rule_as_written
from tocsin.schemas.codec import UnreadableRecord, decode_rule, encode_document
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Rule

FORMAT = 6
HEADER = "header"

__all__ = ["HEADER", "DamagedCheckpoint", "NewerCheckpoint", "checkpoint", "restore"]


class NewerCheckpoint(Exception):
    """State of a newer tocsin; it is left alone."""


def checkpoint(state: PartitionState) -> tuple[dict[str, bytes], bytes]:
    """Entries to write, then the header to write after them. The state notes that they are in force."""
    copies = state.copies
    if state.plan.offset != state.plan_saved:
        copies.put("plan", pack_plan(state.plan))
        state.plan_saved = state.plan.offset
        drop_lanes(copies, state.lanes)
        for name in [n for n in copies.marks if n.startswith("waiting/") and int(n.split("/")[1]) not in state.flows]:
            copies.drop(name)
    put_series(copies, state.series)
    for key, lane in state.lanes.items():
        put_lane(copies, key, lane)
    for lateness_ms, flow in state.flows.items():
        copies.put(f"waiting/{lateness_ms}", flow.pack())
    header = {
        "format": FORMAT,
        "offset": state.offset,
        "copies": copies.marks,
        "series": series_header(state.series),
        "sources": state.series.sources,
        "topics": {name: topic.pack() for name, topic in state.topics.items()},
        "lanes": {key: lane.header() for key, lane in state.lanes.items()},
        "clock_ms": state.clock_ms,
        "looked_s": state.looked_s,
        "sequence": state.sequence,
        "refused": state.refused.pack(),
        "limits_ms": state.limits_ms,
        "limits_said": state.limits_said,
        "shadowed": [(*key, samples) for key, samples in state.shadowed.items()],
    }
    return copies.written(), sealed(msgspec.msgpack.encode(header))


def restore(get: Get, source: str = "") -> PartitionState:
    """The state that a checkpoint holds; a new one if there is none. Raises DamagedCheckpoint or NewerCheckpoint.

    `source` is the partition's name, under which it sends shares of groups.
    """
    state = PartitionState(source=source)
    header = read_header(get)
    if header is None:
        return state
    state.copies = Copies(header["copies"])
    state.offset, state.sequence = header["offset"], header["sequence"]
    state.clock_ms, state.looked_s = header["clock_ms"], header["looked_s"]
    state.refused, state.limits_ms = Refusals.unpack(header["refused"]), header["limits_ms"]
    state.limits_said = [(rule_id, tuple(told)) for rule_id, told in header["limits_said"]]
    state.shadowed = {(rule_id, epoch): samples for rule_id, epoch, samples in header["shadowed"]}
    state.topics = {name: TopicProgress.unpack(packed) for name, packed in header["topics"].items()}

    def entry(name: str) -> bytes:
        return state.copies.read(get, name)

    refused: dict[str, str] = {}
    if "plan" in state.copies.marks:
        state.plan, refused = unpack_plan(entry("plan"))
        state.plan_saved = state.plan.offset
    with taken_out(refused):
        for topic, partition in header["sources"]:
            state.source_number(topic, partition)
        read_series(state.series, header["series"], entry)
        state.flows = make_flows(state.plan)
        for lateness_ms, flow in state.flows.items():
            if f"waiting/{lateness_ms}" in state.copies.marks:
                flow.unpack(entry(f"waiting/{lateness_ms}"))
        for key, spec in state.plan.specs.items():
            lane = make_lane(spec, state.plan.rules[key], state.series)
            state.flows[spec.flow].lanes[key] = lane
            read_lane(lane, key, header["lanes"], entry)
        if refused:
            state.take_out(refused)
    return state


def read_header(get: Get) -> dict[str, Any] | None:
    """The header of a checkpoint, None if there is none. Raises DamagedCheckpoint or NewerCheckpoint."""
    value = get(HEADER)
    if value is None:
        return None
    header: dict[str, Any] = msgspec.msgpack.decode(opened(HEADER, value), strict=False)
    if header["format"] > FORMAT:
        raise NewerCheckpoint(f"the checkpoint has format {header['format']}, this tocsin knows {FORMAT}; upgrade it")
    if header["format"] < FORMAT:
        raise DamagedCheckpoint(f"the checkpoint has the older format {header['format']}")
    return header


def drop_lanes(copies: Copies, lanes: dict[str, Any]) -> None:
    """Lanes that are no longer there leave the header."""
    wanted = {lane_name(key) for key in lanes}
    for name in [n for n in copies.marks if n.startswith(("lane/", "whole/")) and n.split("/")[1] not in wanted]:
        copies.drop(name)
    learnt = {f"learnt/{lane_name(key)}/{name}" for key, lane in lanes.items() for name in lane.learnt_names()}
    for name in [n for n in copies.marks if n.startswith("learnt/") and n not in learnt]:
        copies.drop(name)


def put_lane(copies: Copies, key: str, lane: Lane) -> None:
    """The entries of one lane."""
    lane.prune()
    for chunk, packed in lane.pack_dirty():
        copies.put(f"lane/{lane_name(key)}/{chunk}", packed)
    for name, packed in lane.pack_learnt():
        copies.put(f"learnt/{lane_name(key)}/{name}", packed)
    whole = lane.pack_whole()
    if whole:
        copies.put(f"whole/{lane_name(key)}", whole)


def read_lane(lane: Lane, key: str, headers: dict[str, Any], entry: Callable[[str], bytes]) -> None:
    """The inverse of `put_lane`; `headers` are those of all lanes. Raises DamagedCheckpoint."""
    header = headers.get(key)
    if header is None:
        raise DamagedCheckpoint(f"another version of tocsin wrote it, which has no lane {key!r}")
    lane.restore_header(header)
    for chunk in range(-(-header["slots"] // CHUNK)):
        lane.unpack(chunk, entry(f"lane/{lane_name(key)}/{chunk}"))
    lane.unpack_learnt(lambda name: entry(f"learnt/{lane_name(key)}/{name}"))
    if lane.pack_whole():
        lane.unpack_whole(entry(f"whole/{lane_name(key)}"))
    lane.dirty_chunks()


def put_series(copies: Copies, series: SeriesTable) -> None:
    """The entries of a table of series."""
    for name, value in series.changed_entries():
        copies.put(name, value)


def series_header(series: SeriesTable) -> dict[str, Any]:
    """What a header says of a table of series."""
    return {"count": series.columns.count}


def read_series(series: SeriesTable, header: dict[str, Any], entry: Callable[[str], bytes]) -> None:
    """The inverse of `put_series`."""
    for chunk in range(-(-header["count"] // CHUNK)):
        series.unpack(chunk, entry(f"series/{chunk}"), entry(f"names/{chunk}"))
    series.clear_notes()


def pack_plan(plan: Plan) -> bytes:
    """A plan as the rules that it was made from."""
    versions = [(encode_document(v.rule), v.revision, v.epoch) for v in plan.versions.values()]
    return msgspec.msgpack.encode((plan.offset, versions))


def unpack_plan(value: bytes) -> tuple[Plan, dict[str, str]]:
    """The inverse of `pack_plan`, and which of its rules this tocsin refuses, with the reason: their state is laid out
    by what they say, so they are in the plan until that is read. Raises DamagedCheckpoint for what is no rule at all.
    """
    offset, versions = msgspec.msgpack.decode(value)
    read: list[RuleVersion] = []
    refused: dict[str, str] = {}
    for document, revision, epoch in versions:
        rule, reason = _rule(document)
        read.append(RuleVersion(rule, revision, epoch))
        if reason:
            refused[rule.id] = reason
    with taken_out(refused):
        return compile_plan(read, offset), refused


@contextmanager
def taken_out(refused: Mapping[str, str]) -> Iterator[None]:
    """Read what rules are needed for that may be refused. Raises DamagedCheckpoint if one keeps it from being read."""
    try:
        yield
    except DamagedCheckpoint:
        raise
    except Exception as error:
        if not refused:
            raise
        reasons = "; ".join(f"{rule_id}: {reason}" for rule_id, reason in refused.items())
        raise DamagedCheckpoint(f"rules that are none any more cannot be taken out ({reasons}): {error!r}") from error


def _rule(value: bytes) -> tuple[Rule, str]:
    """A rule, and why it is refused, if it is."""
    rule_id: str = orjson.loads(value)["id"]
    try:
        return decode_rule(value, rule_id), ""
    except UnreadableRecord as error:
        reason = str(error)
    try:
        return rule_as_written(value, rule_id), reason
    except UnreadableRecord as error:
        raise DamagedCheckpoint(f"the rule {rule_id} of the plan cannot be read: {error}") from None


def lane_name(key: str) -> str:
    """A lane's key, short."""
    return stable_id("lane", key)
