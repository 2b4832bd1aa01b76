"""A crash at any record, in the middle of a checkpoint too: what comes after it is what would have come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, Sample, examples, played, rules, samples

from tocsin.engine import frame
from tocsin.engine.evaluate.checkpoint import HEADER, DamagedCheckpoint, checkpoint, restore
from tocsin.engine.evaluate.columns import Columns, Spec
from tocsin.engine.evaluate.plan import group_of, is_grouped, lane_of, source_of
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.frame import Frame, Tick
from tocsin.engine.pipeline import Shape
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode, encode_document
from tocsin.schemas.labels import stable_id
from tocsin.schemas.learning import Anomaly
from tocsin.schemas.rule import Rule

lateness = st.sampled_from(["0s", "0s", "3s"])


def log_of(rule: Rule, given_samples: Sequence[Sample], places: Sequence[int], every: int) -> list[Frame | Tick]:
    pipeline = played(rule, given_samples, Shape(sources=2, samples=1, run=4), places, every)
    return [frame.decode(record.value or b"") for record in pipeline.log.read("samples", 0)]


def book_of(rule: Rule) -> RuleBook:
    book = RuleBook()
    book.append(0, rule.id.encode(), encode_document(rule))
    return book


def same_table(one: Columns, other: Columns) -> bool:
    assert one.count == other.count
    return all(
        np.array_equal(one[name][: one.count], other[name][: one.count], equal_nan=one[name].dtype.kind == "f")
        for name in one.arrays
    )


def assert_same(one: PartitionState, other: PartitionState) -> None:
    """Everything that a checkpoint must keep."""
    assert (one.offset, one.topics, one.clock_ms, one.looked_s) == (
        other.offset, other.topics, other.clock_ms, other.looked_s,
    )  # fmt: skip
    assert (one.refused.pack(), one.limits_ms, one.limits_said) == (
        other.refused.pack(), other.limits_ms, other.limits_said,
    )  # fmt: skip
    assert (one.series.keys, one.series.units, one.series.sources) == (
        other.series.keys, other.series.units, other.series.sources,
    )  # fmt: skip
    assert same_table(one.series.columns, other.series.columns)
    for key, lane in one.lanes.items():
        twin = other.lanes[key]
        assert (lane.late, lane.refused.pack()) == (twin.late, twin.refused.pack())
        assert all(same_table(*tables) for tables in zip(lane._tables(), twin._tables(), strict=True))
        assert [list(judge.cells.items()) for judge in lane.judges.values()] == [
            list(judge.cells.items()) for judge in twin.judges.values()
        ]
    for lateness_ms, flow in one.flows.items():
        assert flow.pack() == other.flows[lateness_ms].pack()


@examples(60)
@given(
    rules,
    lateness,
    samples,
    st.lists(st.integers(0, 1), min_size=1, max_size=8),
    st.integers(1, 9),
    st.sets(st.integers(0, 200), max_size=12),
    st.integers(0, 1_000),
    st.integers(0, 12),
)
def test_a_crash_changes_nothing(
    rule: Rule,
    late: str,
    given_samples: list[Sample],
    places: list[int],
    every: int,
    saved: set[int],
    crash: int,
    written: int,
) -> None:
    rule = Rule.model_validate({**rule.document(), "allowed_lateness": late})
    items = log_of(rule, given_samples, places, every)
    crash %= len(items)
    book, timing = book_of(rule), Timing()
    calm = PartitionState()
    undisturbed = [
        encode(one) for offset, item in enumerate(items) for one in step(calm, [item], offset, book, timing).signals
    ]

    table: dict[str, bytes] = {}
    said: list[bytes] = []
    state, offset, crashed = PartitionState(), 0, False
    while offset < len(items):
        said += [encode(one) for one in step(state, [items[offset]], offset, book, timing).signals]
        entries, header = checkpoint(state) if offset in saved or offset == crash else ({}, b"")
        writes: list[tuple[str, bytes]] = [*entries.items(), (HEADER, header)] if header else []
        if offset == crash and not crashed:
            table.update(writes[:written])  # the rest was never written
            before = state
            state, crashed = restore(table.get), True
            if written >= len(writes):
                assert_same(before, state)
            offset = state.offset + 1
            continue
        table.update(writes)
        offset += 1
    assert list(dict.fromkeys(said)) == undisturbed


def entries_of(rule: Rule, given_samples: Sequence[Sample]) -> dict[str, Any]:
    state, book = PartitionState(), book_of(rule)
    for offset, item in enumerate(log_of(rule, given_samples, [0], 5)):
        step(state, [item], offset, book, Timing())
    entries, header = checkpoint(state)
    return {**entries, HEADER: header}


@examples(60)
@given(rules, samples, st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_entry_is_never_taken_for_state(
    rule: Rule, given_samples: list[Sample], place: int, change: int
) -> None:
    table = entries_of(rule, given_samples)
    name = sorted(table)[place % len(table)]
    whole = bytearray(table[name])
    at = place % len(whole)
    whole[at] ^= change or 1
    table[name] = bytes(whole)
    with pytest.raises(DamagedCheckpoint):
        restore(table.get)


def test_wide_columns_that_change_places_begin_anew() -> None:
    spec: Spec = {"low": ("f8", 48, 0.0), "high": ("f8", 48, 0.0)}
    before = Columns(spec)
    before["low"][before.add()] = 1.0
    table = dict(before.pack_parts(0))
    swap: Spec = {name: spec[name] for name in ("high", "low")}
    same, swapped, fresh = Columns(spec), Columns(swap), Columns(swap)
    fresh.add()
    same.unpack_parts(0, table.__getitem__)
    swapped.unpack_parts(0, table.__getitem__)
    assert same_table(before, same)
    assert same_table(swapped, fresh)


@examples(60)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame_are_refused(content: bytes) -> None:
    with pytest.raises(frame.DamagedFrame):
        frame.decode(content)


@examples(60)
@given(rules, samples, st.integers(1, 9), st.integers(1, 10_000))
def test_copies_that_another_worker_overwrote_are_never_taken_for_state(
    rule: Rule, given_samples: list[Sample], every: int, place: int
) -> None:
    """A worker that was paused goes on from where it stood, after others went on from its checkpoint."""
    items, book = log_of(rule, given_samples, [0], every), book_of(rule)
    table: dict[str, bytes] = {}
    state = PartitionState()
    for offset, item in enumerate(items):
        step(state, [item], offset, book, Timing())
        if offset == place % len(items):
            entries, header = checkpoint(state)
            table |= {**entries, HEADER: header}
            paused = restore(table.get)
    entries, header = checkpoint(state)
    table |= {**entries, HEADER: header}
    for offset, item in enumerate(items[paused.offset + 1 : -1], paused.offset + 1):
        step(paused, [item], offset, book, Timing())
    late, _ = checkpoint(paused)
    overwritten = {name for name in late if name in entries and entries[name] != late[name]}
    table |= late
    if overwritten:
        with pytest.raises(DamagedCheckpoint):
            restore(table.get)
    else:
        assert restore(table.get).offset == state.offset


def test_samples_that_wait_are_an_entry_of_their_own() -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 100, "allowed_lateness": "1m"})
    given_samples = [Sample(series % 4, 1, 0.0) for series in range(1_000)]
    state, book = PartitionState(), book_of(rule)
    for offset, item in enumerate(log_of(rule, given_samples, [0], 100)):
        if item.clock_ms < BEGIN_MS + 5_000:
            step(state, [item], offset, book, Timing())
    waiting = sum(map(len, state.flows[60_000].waiting.values()))
    entries, header = checkpoint(state)
    assert len(header) < 2_000 < len(entries["waiting/60000/0"])
    restored = restore({**entries, HEADER: header}.get)
    assert sum(map(len, restored.flows[60_000].waiting.values())) == waiting > 0


MINUTE: dict[str, Any] = {"window": {"size": "1m"}}
BURN: dict[str, Any] = {"condition": "burn_rate", "burn_rate": {"total": "t", "objective": 99}}
KEYS: list[tuple[str, dict[str, Any]]] = [
    ("a2024bba2450bd92c87a32fe6bfc835c", {"threshold": 5, "aggregation": "p95", **MINUTE}),
    ("3b970ac352d5c05d6c37ff5a36768770", {"condition": "absence"}),
    ("45ac369669fe892505fdf2d9feec6674", {"condition": "trend", "threshold": 9}),
    (
        "3d62077a77f31e066ec86bc8e51bc8f9",
        {"condition": "baseline", "baseline": {"relearn_after": "1m"}, "threshold": 3},
    ),
    ("97ae92f9852ddc9f61bdf0a44e138b92", {"condition": "anomaly", "anomaly": {"sensitivity": "high"}}),
    ("e24842718c8a31159d38d1977b949f2a", {"condition": "anomaly", "group_by": ["a"], **MINUTE}),
    ("e176da189aa7355bd36750a6a7b3879a", {"threshold": 5, "group_by": ["a"], **MINUTE}),
    ("2b1668ef9b38cc832c8e031dd45d95df", {"condition": "ratio", "threshold": 1, "ratio": {"per": "t"}, **MINUTE}),
    ("98e4e1bbda8f12d300735477ed6648fc", BURN),
    ("dea49a3296c071ae652cbf774744c7e7", {"condition": "absence", "group_by": ["a"]}),
]


@pytest.mark.parametrize(("wanted", "body"), KEYS, ids=[str(index) for index in range(len(KEYS))])
def test_the_keys_of_checkpoints_stay_what_they_are(wanted: str, body: dict[str, Any]) -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", **body})
    place = group_of(rule).key if is_grouped(rule) else lane_of(rule).key
    assert stable_id(place, source_of(rule).key) == wanted, "else add to FORMAT: no checkpoint before can be read"


def test_what_was_judged_by_other_keys_is_damaged_and_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "condition": "anomaly"})
    state = PartitionState()
    for offset, item in enumerate(log_of(rule, [Sample(0, 0, 1.0)], [0], 50)):
        step(state, [item], offset, book_of(rule), Timing())
    entries, header = checkpoint(state)
    monkeypatch.setattr(Anomaly, "judged_by", property(lambda _: "otherwise"))
    with pytest.raises(DamagedCheckpoint, match="another version"):
        restore({**entries, HEADER: header}.get)
