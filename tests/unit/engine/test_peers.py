"""Members of groups against their peers: held to a slow model, whatever the order, the other groups and restarts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.peers import Group

from tocsin.engine.evaluate.company import Company, sizes_of
from tocsin.engine.evaluate.derivations.peers import Outlying
from tocsin.engine.evaluate.points import Points
from tocsin.schemas.learning import Anomaly
from tocsin.schemas.signal import Evidence

HOP_MS = 60_000
BEGIN_MS = 1_700_000_040_000
Window = dict[int, float]
values = st.integers(-6, 6).map(float) | st.sampled_from([1e-9, 0.5, 1e6])
windows = st.lists(st.dictionaries(st.integers(0, 8), values, max_size=9), min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        yield


def rule_of(**more: Any) -> Outlying:
    body = {"detector": "peers", "min_members": 4, "width": 2.0, "memory": "10m", "relearn_after": "5m", **more}
    made = Outlying(Anomaly.model_validate(body), HOP_MS, True)
    made.columns.add(64)
    return made


def judged(made: Outlying, place: int, window: Window, of: Sequence[int] = range(64), group_of: int = 0) -> Points:
    """One window of one group, whose member i has slot `of[i]`."""
    slots = np.array([of[member] for member in window], np.int64)
    at_ms = np.full(len(slots), BEGIN_MS + place * HOP_MS)
    points = Points.one_each(slots, at_ms, np.array(list(window.values())), lambda _: Evidence("m", (0, 0), 1))
    return made.derive(replace(points, groups=np.full(len(slots), group_of)))


@given(st.lists(st.tuples(st.integers(0, 3), values), min_size=1, max_size=30))
def test_the_others_of_each_member_are_all_but_itself(members: list[tuple[int, float]]) -> None:
    groups, given_values = np.array([each[0] for each in members]), np.array([each[1] for each in members])
    sizes = sizes_of(groups)
    chosen = np.flatnonzero(sizes >= 2)
    if not len(chosen):
        return
    found = Company.of(groups[chosen], given_values[chosen])
    for place, index in enumerate(chosen.tolist()):
        others = [value for at, (of, value) in enumerate(members) if of == groups[index] and at != index]
        assert (found.peers[place], sizes[index]) == (len(others), len(others) + 1)
        assert found.median()[place] == median(others)
        assert found.at(np.zeros(len(chosen), np.int64))[place] == min(others)
        assert found.at(found.peers - 1)[place] == max(others)


@settings(max_examples=40, deadline=None)
@given(windows, st.booleans(), st.sampled_from(["both", "above", "below"]), st.sampled_from([0.0, 1.5]))
def test_each_member_is_judged_as_by_the_model(
    history: list[Window], own_offset: bool, direction: str, least: float
) -> None:
    made = rule_of(own_offset=own_offset, direction=direction, min_deviation=least)
    model = Group(made.settings, HOP_MS)
    for place, window in enumerate(history):
        found = judged(made, place, window)
        wanted = model.window(BEGIN_MS + place * HOP_MS, dict(window))
        got = dict(zip(found.slots.tolist(), found.values.tolist(), strict=True))
        assert got == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(windows, windows, st.permutations(range(20)), st.integers(0, 60))
def test_neither_order_nor_other_groups_nor_restarts_show(
    history: list[Window], others: list[Window], order: list[int], restart: int
) -> None:
    one, many = rule_of(), rule_of()
    for place, window in enumerate(history):
        alone = judged(one, place, window)
        both = {order[member]: (value, 7) for member, value in sorted(window.items(), key=lambda each: -each[0])}
        if place < len(others):
            both |= {order[10 + member]: (value, 3) for member, value in others[place].items()}
        slots = np.array(list(both), np.int64)
        points = Points.one_each(
            slots,
            np.full(len(slots), BEGIN_MS + place * HOP_MS),
            np.array([value for value, _ in both.values()], np.float64),
            lambda _: Evidence("m", (0, 0), 1),
        )
        together = many.derive(replace(points, groups=np.array([group for _, group in both.values()], np.int64)))
        told = {int(slot): index for index, slot in enumerate(together.slots)}
        for index, member in enumerate(alone.slots.tolist()):
            again = told[order[member]]
            assert alone.values[index] == together.values[again]
            assert alone.evidence(index) == together.evidence(again)
        if place == restart:
            many = restored(many)


def restored(made: Outlying) -> Outlying:
    again = Outlying(made.settings, HOP_MS, True)
    again.columns.unpack(0, made.columns.pack(0))
    return again


def test_a_member_that_leaves_its_peers_says_by_how_much_and_how_they_are() -> None:
    made = rule_of(width=6.0)
    for place in range(200):
        found = judged(made, place, {member: 100.0 + (member * 7 + place * 3) % 5 for member in range(9)})
        assert (found.values < 6).all()
    found = judged(made, 200, {member: 100.0 + member % 5 + (50 if member == 4 else 0) for member in range(9)})
    assert np.flatnonzero(found.values > 6).tolist() == [4]
    facts = found.evidence(4).facts
    assert (facts["peers"], facts["value"], facts["median"]) == (8, 154.0, 101.5)
    assert (facts["lowest"], facts["highest"]) == (100.0, 103.0)  # a fifth at either end is left out
    assert facts["lower"] < facts["expected"] < facts["upper"] < 130
    assert facts["score"] == found.values[4]
    assert facts["once_in_days"] > 1


def test_who_was_always_apart_is_no_news_for_ever_but_for_a_while() -> None:
    made, alone = rule_of(width=6.0), rule_of(width=6.0, own_offset=False)
    rng = np.random.default_rng(1)
    said: dict[str, list[int]] = {"own": [], "plain": []}
    for place in range(40):
        window = {member: float(rng.normal(200 if member == 3 else 100)) for member in range(8)}
        for name, rule in (("own", made), ("plain", alone)):
            if judged(rule, place, window).values[3] > 6:
                said[name].append(place)
    assert said["own"] == list(range(6))  # relearn_after: 5m
    assert said["plain"] == list(range(40))


def test_a_member_that_comes_back_to_its_peers_is_no_news_and_one_that_leaves_its_place_is() -> None:
    rng = np.random.default_rng(1)

    def last(values_of: float) -> float:
        made = rule_of(width=6.0)
        for place in range(40):
            judged(made, place, {member: float(rng.normal(200 if member == 3 else 100)) for member in range(8)})
        return float(judged(made, 40, {m: values_of if m == 3 else float(rng.normal(100)) for m in range(8)}).values[3])

    assert last(100.0) < 6
    assert last(150.0) < 6
    assert last(300.0) > 6
    assert last(50.0) > 6


def test_peers_that_are_all_alike_leave_room_for_what_nobody_acts_on() -> None:
    made = rule_of(width=6.0)
    for place in range(40):
        assert not judged(made, place, dict.fromkeys(range(6), 1_000.0)).values.any()
    assert judged(made, 40, {**dict.fromkeys(range(6), 1_000.0), 2: 1_005.0}).values[2] == pytest.approx(5)
    assert judged(made, 41, {**dict.fromkeys(range(6), 1_000.0), 2: 1_007.0}).values[2] > 6
    made = rule_of()
    assert judged(made, 0, {**dict.fromkeys(range(6), 0.0), 2: 1e-3}).values[2] > 1e6


def test_half_of_a_group_that_moves_hides_itself_and_less_than_half_does_not() -> None:
    for moved, count in ((3, 3), (4, 0)):
        made = rule_of(width=6.0)
        rng = np.random.default_rng(1)
        for place in range(200):
            judged(made, place, {member: float(rng.normal(100)) for member in range(8)})
        found = judged(made, 200, {m: float(rng.normal(150 if m < moved else 100)) for m in range(8)})
        assert (found.values > 6).sum() == count, moved


@pytest.mark.parametrize("size", [1e300, 1e-300, 1.7e308])
def test_huge_and_tiny_values_make_no_warning_and_no_alarm(size: float) -> None:
    made = rule_of(width=6.0)
    rng = np.random.default_rng(1)
    for place in range(150):
        signs = rng.choice([-1.0, 1.0], 8)
        found = judged(made, place, {member: float(size * signs[member]) for member in range(8)})
        assert np.isfinite(found.values).all()


extremes = st.sampled_from([0.0, -0.0, 1.0, -1e300, 1e300, 1.7e308, -1.7e308, 1e-300, 5e-324, -1e-310, 1e-8, 1e8])


@settings(max_examples=30, deadline=None)
@given(st.lists(extremes, min_size=2, max_size=6), st.integers(0, 1_000), st.booleans())
def test_nothing_that_is_learnt_of_extremes_is_infinite(pool: list[float], seed: int, own_offset: bool) -> None:
    made, rng = rule_of(own_offset=own_offset), np.random.default_rng(seed)
    for place in range(100):
        chosen = rng.permutation(12)[: rng.integers(4, 9)].tolist()
        found = judged(made, place, {member: float(rng.choice(pool)) for member in chosen})
        assert np.isfinite(found.values).all()
    assert all(np.isfinite(array).all() for array in made.columns.arrays.values())


def test_a_group_that_is_too_small_says_nothing() -> None:
    made = rule_of(min_members=5)
    assert len(judged(made, 0, dict.fromkeys(range(4), 1.0))) == 0
    assert len(judged(made, 1, dict.fromkeys(range(5), 1.0))) == 5


def test_a_member_takes_at_most_four_hundred_bytes() -> None:
    assert sum(array[:1].nbytes for array in rule_of().columns.arrays.values()) <= 400
