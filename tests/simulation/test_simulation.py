"""The stages under faults: a few seeds each time, and proof that bugs would be found."""

from __future__ import annotations

import pytest
from tests.simulation.bug import Bug
from tests.simulation.planted import PLANTED
from tests.simulation.planted_route import PLANTED_IN_ROUTE

from tocsin.engine.simulation.chance import Chance
from tocsin.engine.simulation.scenario import draw
from tocsin.engine.simulation.schedule import Outcome, run

SEEDS = range(750)
MOST_SEEDS = 40_000  # the rarest bugs show in one of 4,000


@pytest.mark.parametrize("batch", range(5))
def test_no_invariant_is_violated(batch: int) -> None:
    for seed in range(batch * len(SEEDS) // 5, (batch + 1) * len(SEEDS) // 5):
        outcome = run(seed)
        assert not outcome.invariant, outcome.line()


def test_a_seed_repeats_exactly() -> None:
    for seed in range(0, 60, 7):
        said: list[list[str]] = [[], []]
        outcomes = [run(seed, trace.append) for trace in said]
        assert outcomes[0] == outcomes[1]
        assert said[0] == said[1]


def test_a_violation_is_one_line_that_says_how_to_repeat_it() -> None:
    line = Outcome(123, 456, "sequence", "x goes on with number 3").line()
    assert line == (
        "seed 123 violates sequence at step 456: x goes on with number 3; repeat: tocsin sim --seed 123 --trace"
    )


EVERY_BUG = (*PLANTED, *PLANTED_IN_ROUTE)


@pytest.mark.parametrize("bug", EVERY_BUG, ids=[bug.name for bug in EVERY_BUG])
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        able = (seed for seed in range(MOST_SEEDS) if bug.can_show(draw(seed, Chance(seed))))
        shows = (seed for seed in able if run(seed).invariant)
        found = next(shows, None)
    assert found is not None
    without = run(found)
    assert not without.invariant, f"that is no planted one: {without.line()}"


def test_schedules_leave_out_what_others_have() -> None:
    drawn = [draw(seed, Chance(seed)) for seed in range(400)]
    assert len({one.groups for one in drawn}) == 5
    for kind in ("crash", "pause", "rescale", "rebalance", "stop", "receiver", "refusal", "compaction", "clock"):
        share = sum(kind in one.swarm.faults for one in drawn) / len(drawn)
        assert 0.1 < share < 0.75, kind
    rounds = sorted(sum(one.swarm.rounds) for one in drawn)
    assert rounds[len(rounds) // 2] <= 2
    assert rounds[-1] >= 7


def test_chance_is_the_same_everywhere() -> None:
    chance = Chance(42)
    assert [chance.below(1_000) for _ in range(5)] == [639, 25, 275, 223, 736]
    assert sorted(chance.shuffled(range(20))) == list(range(20))
