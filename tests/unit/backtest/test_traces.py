"""A backtest of a rule that learns: values with their band and score, and the series' own values in the answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from tocsin.cli.app import run

RULES = """
- {id: odd, condition: anomaly, metric_type: m}
- {id: auto, metric_type: m, threshold: auto}
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
