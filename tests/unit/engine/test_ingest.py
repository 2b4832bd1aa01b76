"""Ingest's step: frames and progress, however a run is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.frame import Frame
from tocsin.engine.ingest.codecs import CODECS
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import Ingested, Run, step
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.rule import Rule

CLOCK_MS = 1_700_000_000_000
AHEAD_MS = 600_000
Keyed = tuple[bool, int]  # whether it has a key, and the samples in it; none is a tombstone


def sample(at_ms: int = CLOCK_MS, value: float = 1.0, **labels: str) -> bytes:
    return json.dumps({"name": "m", "value": value, "timestamp": at_ms, "labels": labels}).encode()


def ingested(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    first: int = 0,
) -> Ingested:
    offsets = range(first, first + len(values))
    run = Run("metrics", 0, offsets, [CLOCK_MS] * len(values), keys or [None] * len(values), values)
    return step(Interner(2), run, CODECS["json"], CLOCK_MS, AHEAD_MS)


def offsets_of(frame: Frame) -> list[int]:
    return [frame.base_offset + offset for offset in np.frombuffer(frame.offsets, np.uint32).tolist()]


def written(messages: Sequence[Keyed], cut: int) -> dict[int, list[tuple[int, bool]]]:
    """By samples partition: offset of each sample, and whether its frame says that it has a key."""
    found: dict[int, list[tuple[int, bool]]] = {}
    for first in range(0, len(messages), cut):
        part = list(enumerate(messages[first : first + cut], first))
        arrays = [[json.loads(sample(a=str(at), b=str(n))) for n in range(count)] for at, (_, count) in part]
        values = [json.dumps(array).encode() if array else None for array in arrays]
        done = ingested(values, [b"k" if keyed else None for _, (keyed, _) in part], first=first)
        for partition, frames in done.frames.items():
            assert all(offsets_of(one)[-1] < offsets_of(other)[0] for one, other in pairwise(frames))
            found.setdefault(partition, []).extend((at, one.keyed) for one in frames for at in offsets_of(one))
    return found


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=20), st.integers(1, 20), st.integers(1, 20))
def test_a_sample_is_keyed_as_its_message_is_wherever_runs_are_cut(
    messages: list[Keyed], cut: int, other_cut: int
) -> None:
    one = written(messages, cut)
    assert one == written(messages, other_cut)
    assert all(keyed == messages[offset][0] for samples in one.values() for offset, keyed in samples)
    assert sum(map(len, one.values())) == sum(count for _, count in messages)


@pytest.mark.parametrize("keys", [[b"k"] * 4, [None] * 4])
def test_a_run_of_one_kind_is_one_frame_for_each_partition(keys: list[bytes | None]) -> None:
    done = ingested([sample(a=str(number)) for number in range(4)], keys)
    assert all(len(frames) == 1 for frames in done.frames.values())
    assert {frame.keyed for frames in done.frames.values() for frame in frames} == {keys[0] is not None}


def test_a_message_without_a_key_beside_a_keyed_series_changes_no_verdict() -> None:
    def signals(run: int) -> list[tuple[str, int]]:
        pipeline = Pipeline([Rule(id="r", metric_type="m", threshold=5)], (), Shape(sources=2, run=run))
        pipeline.run(CLOCK_MS)
        for at_ms, value in ((200, 0), (100, 9)):
            pipeline.publish(sample(CLOCK_MS + at_ms, value, a="1"), CLOCK_MS, b"k")
        pipeline.publish(sample(CLOCK_MS + 100, 0, a="2"), CLOCK_MS)
        for minute in range(1, 5):
            pipeline.run(CLOCK_MS + minute * 60_000)
        return [(signal.kind, signal.at_ms) for signal in pipeline.signals]

    assert signals(1) == signals(100)


def test_a_clock_that_is_ahead_moves_progress_to_ours_at_most() -> None:
    assert ingested([sample(CLOCK_MS - 5), sample(CLOCK_MS - 7)]).highest_ms == CLOCK_MS - 5
    ahead = ingested([sample(CLOCK_MS + AHEAD_MS)])
    assert (ahead.samples, ahead.highest_ms) == (1, CLOCK_MS)
