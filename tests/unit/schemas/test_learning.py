"""The settings of rules that learn are those that their reference lists, with the same defaults."""

from __future__ import annotations

import re
from pathlib import Path

from tocsin.engine.evaluate.detectors import DETECTORS
from tocsin.schemas.duration import format_duration
from tocsin.schemas.learning import MEASURES, Anomaly, Baseline

PAGE = Path(__file__).parents[3] / "docs" / "anomaly.md"
TIMES = ("warm_up", "memory", "relearn_after", "rarer_than")


def listed() -> dict[str, str]:
    """Default by name, as the table writes it."""
    section = PAGE.read_text().partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*)\|", section, re.MULTILINE)
    return {name: default.strip().replace("`", "") for names, default in rows for name in re.findall(r"`(\w+)`", names)}


def test_the_reference_lists_every_setting_with_its_default() -> None:
    found = listed()
    fields = {**Baseline.model_fields, **Anomaly.model_fields}
    assert found.keys() == fields.keys()
    assert found.pop("learn_anomalies") == "true, of baseline false"
    assert (Anomaly().learn_anomalies, Baseline().learn_anomalies) == (True, False)
    assert found.pop("width") == f"{Baseline().width:g}, of peers {Anomaly(detector='peers').width:g}"
    for name, default in found.items():
        value = fields[name].default
        shown = (
            ""
            if value is None
            else format_duration(value)
            if name in TIMES
            else f"{value:g}".lower()
            if isinstance(value, float)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )
        assert default == shown, name


def test_every_detector_of_the_schema_is_there_and_has_as_many_measures_as_it_says() -> None:
    assert {name: len(made.measures) for name, made in DETECTORS.items()} == MEASURES
