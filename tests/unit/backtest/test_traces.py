"""A backtest of a rule that learns: values with their band and score, and the series' own values in the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin.backtest.files import read_file
from tocsin.backtest.intake import Intake
from tocsin.backtest.run import replay
from tocsin.backtest.run import traced as find_traced
from tocsin.backtest.store import Store
from tocsin.cli.app import run
from tocsin.cli.files import read_rules
from tocsin.cli.rulebooks import cross_checked

RULES = """
- {id: odd, condition: anomaly, metric_type: m}
- {id: auto, metric_type: m, threshold: auto}
"""
JOINT = """
- {id: high, metric_type: m, threshold: 5, match: [host=a]}
- {id: calm, condition: composite, conditions: [high], group_by: [host], keep_firing_for: 40m}
- {id: sum, metric_type: m, threshold: 10, window: {size: 1m}, aggregation: sum, group_by: [zone]}
- id: burn
  condition: burn_rate
  metric_type: m
  burn_rate:
    total: m
    objective: 75
    counters: false
    windows: [{long: 10m, short: 5m, factor: 2}, {long: 20m, short: 10m, factor: 3}]
"""


def test_the_plot_shows_the_value_its_band_and_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = 50 + np.random.default_rng(1).uniform(-1, 1, 400)
    values[390:393] = 90
    rows = "".join(f"{1_700_000_000_000 + index * 60_000},{value:.3f}\n" for index, value in enumerate(values))
    (tmp_path / "m.csv").write_text("timestamp,value\n" + rows)
    (tmp_path / "rules.yaml").write_text(RULES)
    arguments = ["backtest", "--rules", str(tmp_path / "rules.yaml"), "--input", str(tmp_path / "m.csv")]
    assert run([*arguments, "--output", "json"]) == 0
    fired = {alert["rule_id"]: alert for alert in orjson.loads(capsys.readouterr().out)["alerts"]}
    assert fired.keys() == {"odd", "auto"}
    assert fired["auto"]["peak"] > 10
    assert run([*arguments, "--plot", "-"]) == 0
    drawn = capsys.readouterr().out
    assert "auto > 4" in drawn
    assert drawn.count("Score") == 2
    assert "\N{MIDDLE DOT}" in drawn


def test_what_groups_are_judged_by_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_ms = 1_767_225_600_000
    values = [(begin_ms + at * 60_000, 9 if 10 <= at < 30 else 1) for at in range(60)]
    rows = "".join(f"{at_ms},{value},{host}\n" for at_ms, value in values for host in "ab")
    (tmp_path / "m.csv").write_text("timestamp,value,host\n" + rows)
    (tmp_path / "rules.yaml").write_text(JOINT)
    arguments = ["backtest", "--rules", str(tmp_path / "rules.yaml"), "--input", str(tmp_path / "m.csv")]
    assert run([*arguments, "--output", "json"]) == 0
    peaks = {alert["rule_id"]: alert["peak"] for alert in orjson.loads(capsys.readouterr().out)["alerts"]}
    assert peaks == {"high": 9, "sum": 18, "burn": 4, "calm": None}
    assert run([*arguments, "--plot", "-"]) == 0
    drawn = capsys.readouterr().out
    assert "burn_rate >= 2, 3, 1 alert" in drawn
    assert "calm {host=a}" in drawn
    assert "sum over 1m > 10, 1 alert" in drawn
    monkeypatch.setattr("tocsin.backtest.run.MAX_TRACES", 2)  # a composite, and not the rule that it is over
    intake = Intake(Store())
    read_file(tmp_path / "m.csv", intake, None, lambda _read, _size: None)
    intake.store.close()
    rules = [placed.entry for placed in cross_checked(read_rules([tmp_path / "rules.yaml"]))]
    traces = {one.rule.id: one.trace for one in find_traced(replay(rules, intake.store), intake.store)}
    assert traces.keys() == {"burn", "calm"}
    assert traces["calm"].values.tolist() == [1, 0]
