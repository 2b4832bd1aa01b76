"""Late samples are told once, whoever counts them and however often a partition comes and goes."""

from __future__ import annotations

from tocsin.agents.late_counts import LateCounts


def test_what_came_since_the_last_time_is_told_by_rule() -> None:
    counts = LateCounts()
    counts.look({0: {"slow": 7, "fast": 0}})  # as restored from a checkpoint
    assert counts.hand_over() == {}
    counts.look({0: {"slow": 9, "fast": 0}, 1: {"slow": 100}})
    counts.look({0: {"slow": 10, "fast": 4}, 1: {"slow": 101}})
    assert counts.hand_over() == {"fast": 4, "slow": 4}
    counts.look({0: {"slow": 0, "fast": 4}})  # the rule was changed, and a partition went away
    counts.look({0: {"slow": 2, "new": 1}, 1: {"slow": 500}})
    assert counts.hand_over() == {"new": 1, "slow": 2}
    assert counts.hand_over() == {}


def test_the_first_that_came_too_late_since_a_partition_came_are_told() -> None:
    counts = LateCounts()
    counts.look({0: {}})
    counts.look({0: {"slow": 3}})
    assert counts.hand_over() == {"slow": 3}
