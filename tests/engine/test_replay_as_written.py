"""History as it was written: where no look can matter none is taken, with the outcome of looking every second."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import AGGREGATIONS, WINDOWS, examples

from tocsin.engine.ingest.interning import Interner
from tocsin.engine.replay import Batch, Replay
from tocsin.schemas.codec import encode
from tocsin.schemas.rule import Rule

BEGIN_MS = 1_767_225_600_000
Come = list[tuple[int, int, int]]  # series, event time, value

steps = st.tuples(
    st.integers(0, 2), st.sampled_from([0, 300, 1_000, 1_000, 1_400, 4_000, 9_000]), st.integers(0, 9_000)
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    body: dict[str, Any] = {"id": "r", "metric_type": "m", "threshold": draw(st.integers(0, 9)) + 0.37}
    body["operator"] = draw(st.sampled_from(["gt", "lt"]))
    body["allowed_lateness"] = draw(st.sampled_from(["0s", "1s", "4s"]))
    body["duration"] = draw(st.sampled_from(["0s", "3s"]))
    if draw(st.integers(0, 4)):
        body |= {"window": draw(st.sampled_from(WINDOWS)), "aggregation": draw(st.sampled_from(AGGREGATIONS))}
    return Rule.model_validate(body)


@st.composite
def written(draw: st.DrawFn) -> Come:
    """Samples that come up to nine seconds after others that are younger."""
    at_ms, found = BEGIN_MS, []
    for series, gap_ms, late_ms in draw(st.lists(steps, min_size=1, max_size=80)):
        at_ms += gap_ms
        found.append((series, at_ms - late_ms, at_ms % 10))
    return found


def replayed(rule: Rule, come: Come, size: int, every_second: bool) -> tuple[dict[str, list[bytes]], int]:
    interner = Interner(1)
    numbers = [interner.number("m", orjson.dumps({"series": str(number)}), None) for number in range(3)]
    replay = Replay([rule], interner, as_written=True)
    if every_second:
        replay._pauses = None
    for begin in range(0, len(come), size):
        series, at_ms, values = (np.array(column) for column in zip(*come[begin : begin + size], strict=True))
        replay.take(Batch(np.array(numbers)[series], at_ms.astype(np.int64), values.astype(np.float64)))
    replay.finish()
    events = defaultdict(list)
    for event in replay.drain()[1]:
        events[event.fingerprint].append(encode(event))
    return dict(events), replay.missed()["r"].late


@examples(80)
@given(rules(), written(), st.integers(1, 80))
def test_looks_that_are_left_out_change_nothing(rule: Rule, come: Come, size: int) -> None:
    assert replayed(rule, come, size, False) == replayed(rule, come, size, True)
