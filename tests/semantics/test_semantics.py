"""What rules mean, pinned as data: each file beside this one is a file of rule tests, and all of them pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tocsin.cli.app import run
from tocsin.documents import read
from tocsin.schemas.rule import AGGREGATIONS

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.yaml"))
# Not so yet; each entry says what is missing.
NOT_YET = {"absence_expected": "the list of expected series is taken, and nothing watches it"}


def _case(path: Path) -> ParameterSet:
    missing = NOT_YET.get(path.stem)
    marks = [pytest.mark.xfail(strict=True, reason=missing)] if missing else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [_case(path) for path in FILES])
def test_rules_mean_what_the_file_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["rules", "test", str(path)])
    said = capsys.readouterr()
    assert code == 0, said.out + said.err


def test_every_kind_window_and_aggregation_that_works_is_pinned() -> None:
    rules = [rule for path in FILES for rule in read(path).value["rules"]]
    kinds = {rule.get("condition", "threshold") for rule in rules}
    windows = {rule["window"].get("type", "tumbling") for rule in rules if "window" in rule}
    assert kinds >= {"threshold", "range", "change", "absence", "trend"}
    assert windows == {"tumbling", "hopping", "sliding", "session", "count"}
    assert {rule.get("aggregation", "avg") for rule in rules if "window" in rule} >= set(AGGREGATIONS)
    assert len(FILES) >= 25
