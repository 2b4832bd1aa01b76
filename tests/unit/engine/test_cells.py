"""Cells in columns are what a dictionary of them would be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.evaluate.cell import Cell
from tocsin.engine.evaluate.cells import Cells

LEVELS = [1, 3, 2]
OTHER_LEVELS = [3, 1]
MOVED = {1: 0, 0: 1}
Model = dict[tuple[int, int], Cell]

places = st.tuples(st.sampled_from((0, 1, 70, 511, 512, 513, 1_500)), st.integers(0, 2))
times = st.integers(-(2**62), 2**62)


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, tuple[int, int], Cell]:
    slot, owner = draw(places)
    by_level = st.lists(times, min_size=LEVELS[owner], max_size=LEVELS[owner])
    name = draw(st.sampled_from(("0123456789abcdef", "shadow/0123456789abcdef")))
    cell = Cell(
        name,
        draw(by_level),
        draw(by_level),
        draw(times),
        draw(st.integers(-1, 2)),
        draw(times),
        3,
        draw(st.floats(-9, 9)),
    )
    return draw(st.sampled_from(("put", "put", "drop", "drop slot"))), (slot, owner), cell


def applied(done: list[tuple[str, tuple[int, int], Cell]]) -> tuple[Cells, Model]:
    cells, model = Cells(LEVELS), Model()
    for step, place, cell in done:
        if step == "put":
            cells.put(*place, cell)
            model[place] = cell
        elif step == "drop slot":
            cells.drop_slot(place[0])
            model = {key: one for key, one in model.items() if key[0] != place[0]}
        elif model.pop(place, None):
            cells.drop(np.array([place[0]]), np.array([place[1]]))
    return cells, model


@given(st.lists(steps(), max_size=25))
def test_they_hold_what_was_put_there_last(done: list[tuple[str, tuple[int, int], Cell]]) -> None:
    cells, model = applied(done)
    assert list(cells.items()) == sorted(model.items())
    assert len(cells) == len(model)
    assert list(cells.names()) == [(*key, cell.fingerprint) for key, cell in sorted(model.items())]
    for _, (slot, owner), _ in done:
        assert cells.get(slot, owner) == model.get((slot, owner))
        assert cells.has(slot, owner) == ((slot, owner) in model)
    slots, owners, until_ms = cells.pasts()
    found = zip(slots.tolist(), owners.tolist(), until_ms.tolist(), strict=True)
    assert list(found) == [(*key, max(cell.cool_ms, cell.order_at)) for key, cell in sorted(model.items())]


@given(st.lists(steps(), max_size=25))
def test_chunks_bring_them_back(done: list[tuple[str, tuple[int, int], Cell]]) -> None:
    cells, model = applied(done)
    again = Cells(LEVELS)
    for _, packed in sorted(cells.by_chunk().items()):
        again.unpack(packed)
    assert list(again.items()) == sorted(model.items())
    assert again.by_chunk() == cells.by_chunk()


@given(st.lists(steps(), max_size=25))
def test_they_follow_their_rules_among_others(done: list[tuple[str, tuple[int, int], Cell]]) -> None:
    cells, model = applied(done)
    expected = {(slot, MOVED[owner]): cell for (slot, owner), cell in model.items() if owner in MOVED}
    assert list(cells.moved(MOVED, OTHER_LEVELS).items()) == sorted(expected.items())
