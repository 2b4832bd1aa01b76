"""tocsin tells what Alertmanager tells, when and to whom, by the same configuration file.

What Alertmanager said is recorded in `told.json`; with TOCSIN_TEST_ALERTMANAGER, the path of one, it is asked again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.alertmanager import program
from tests.alertmanager.record import read
from tests.alertmanager.scenarios import Scenario, said, scenarios

SCENARIOS = scenarios()
RECORD = read()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])
def test_what_is_told_is_what_alertmanager_told_or_differs_on_purpose(scenario: Scenario) -> None:
    told = RECORD.told[scenario.name]
    assert said(scenario) == (told if scenario.ours is None else scenario.ours)
    assert scenario.ours != told, "the same after all"


def test_the_record_is_of_these_scenarios() -> None:
    assert list(RECORD.told) == [one.name for one in SCENARIOS]
    assert sum(bool(lines) for lines in RECORD.told.values()) >= len(SCENARIOS) - 2


# In real time, some 15 s: not wherever one happens to be installed.
@pytest.mark.skipif("TOCSIN_TEST_ALERTMANAGER" not in os.environ, reason="no TOCSIN_TEST_ALERTMANAGER")
async def test_alertmanager_still_says_what_is_recorded(tmp_path: Path) -> None:
    binary = program.find()
    assert binary
    found = await program.said(binary, SCENARIOS, tmp_path)
    assert {one.name: lines for one, lines in zip(SCENARIOS, found, strict=True)} == RECORD.told
