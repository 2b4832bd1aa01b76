"""History in order of event time, however it was written and however small the chunks are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.backtest.store import Store

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(-9, 9).map(float)), max_size=60)


def stored(given_rows: list[tuple[int, int, float]], store: Store, size: int) -> list[tuple[int, int, float]]:
    for begin in range(0, len(given_rows), size):
        number, at_ms, values = zip(*given_rows[begin : begin + size], strict=True)
        store.add(np.array(number, np.int64), np.array(at_ms, np.int64), np.array(values))
    store.close()
    return [
        row
        for batch in store.batches()
        for row in zip(batch.number.tolist(), batch.at_ms.tolist(), batch.values.tolist(), strict=True)
    ]


@given(rows, st.integers(1, 20), st.integers(1, 7), st.integers(1, 9))
def test_samples_come_by_time_and_else_as_written(
    given_rows: list[tuple[int, int, float]], chunk: int, block: int, size: int
) -> None:
    store = Store(chunk=chunk, block=block)
    assert stored(given_rows, store, size) == sorted(given_rows, key=lambda row: row[1])
    assert sum(len(batch) for batch in store.batches()) == len(given_rows)  # as often as wanted


@given(rows, st.integers(1, 20), st.integers(1, 7), st.integers(1, 9))
def test_they_stay_as_written_if_asked(
    given_rows: list[tuple[int, int, float]], chunk: int, block: int, size: int
) -> None:
    assert stored(given_rows, Store(True, chunk, block), size) == given_rows
