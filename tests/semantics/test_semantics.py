"""What rules mean, pinned as data: each file beside this one is a file of rule tests, and all of them pass."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tocsin.cli.app import run
from tocsin.cli.rule_tests import read_suites
from tocsin.documents import read
from tocsin.engine.pipeline import Shape
from tocsin.engine.testing import outcome
from tocsin.schemas.rule import AGGREGATIONS, ConditionKind

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.yaml"))
NAMES = [path.stem for path in FILES]
LONGEST_MS = 1_800_000  # longer ones take their time


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_rules_mean_what_the_file_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["rules", "test", str(path)])
    said = capsys.readouterr()
    assert code == 0, said.out + said.err


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_they_mean_the_same_however_many_partitions_there_are(path: Path) -> None:
    (file,) = read_suites([path])
    for test in file.suite.tests:
        if max(expectation.at for expectation in test.expect) <= LONGEST_MS:
            shape, given = Shape(sources=3, samples=2), (file.routing, file.escalations)
            found = outcome(test, file.rules, file.channels, file.suite.interval, shape, *given)
            assert found == ()


def test_every_kind_window_and_aggregation_that_works_is_pinned() -> None:
    rules = [rule for path in FILES for rule in read(path).value["rules"]]
    kinds = {rule.get("condition", "threshold") for rule in rules}
    windows = {rule["window"].get("type", "tumbling") for rule in rules if "window" in rule}
    assert kinds == set(get_args(ConditionKind))
    assert windows == {"tumbling", "hopping", "sliding", "session", "count"}
    assert {rule.get("aggregation", "avg") for rule in rules if "window" in rule} >= set(AGGREGATIONS)
    assert len(FILES) >= 25
