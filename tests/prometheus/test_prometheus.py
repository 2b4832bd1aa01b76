"""tocsin's verdicts are those of Prometheus, where both have a word for the same rule.

What Prometheus said is recorded in `verdicts.json`; where a promtool is found (TOCSIN_TEST_PROMTOOL, or on the path) it
is asked again, and about other cases. `python -m tests.prometheus.record` writes the record anew.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.prometheus import promtool, replayed
from tests.prometheus.cases import EXTRAPOLATED, KINDS, Case, case
from tests.prometheus.record import read

RECORD = read()
FRESH = 40 * int(os.environ.get("TOCSIN_EXAMPLES", "1"))
LEFT_OPEN = (3, 0, 0)  # since then a range does not hold its beginning, and rates are not taken below zero first

needs_promtool = pytest.mark.skipif(promtool.find() is None, reason="no promtool here")


def is_common(one: Case, version: tuple[int, ...]) -> bool:
    """Whether a version is asked for what it means in the same way."""
    return version >= LEFT_OPEN or not (one.is_on_grid or one.kind in EXTRAPOLATED)


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_verdicts_are_those_that_prometheus_gave(kind: str) -> None:
    cases = {number: case(number) for number in RECORD.verdicts}
    differing = [
        number
        for number, one in cases.items()
        if one.kind == kind and replayed.verdicts(one) != RECORD.verdicts[number]
    ]
    assert not differing


def test_the_record_knows_every_kind_and_state() -> None:
    kinds = Counter(case(number).kind for number in RECORD.verdicts)
    letters = Counter("".join(text for texts in RECORD.verdicts.values() for text in texts))
    assert min(kinds[kind] for kind in KINDS) >= 5
    assert all(letters[letter] > 1_000 for letter in (promtool.NONE, promtool.PENDING, promtool.FIRING))


@needs_promtool
@pytest.mark.parametrize("first", [0, 1_000_000])
def test_verdicts_are_those_that_promtool_gives(first: int, tmp_path: Path) -> None:
    binary = promtool.find()
    assert binary
    version = promtool.version(binary)
    cases = {number: case(number) for number in range(first, first + FRESH)}
    cases = {number: one for number, one in cases.items() if is_common(one, version)}
    said = promtool.verdicts(binary, cases, tmp_path)
    assert {number: replayed.verdicts(one) for number, one in cases.items()} == said
