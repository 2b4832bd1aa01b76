"""The chart of an alert shows what its rule judges, and a threshold only where it belongs to what is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.charts import Panel, alert_chart, as_png, chart_span
from tocsin.schemas.instant import parse_instant
from tocsin.testing.alerts import STARTED_AT, UPDATED_AT, firing_event, resolved_event

STARTED_MS, UPDATED_MS = parse_instant(STARTED_AT), parse_instant(UPDATED_AT)
WINDOW = ["2026-11-23T10:04:00.000Z", UPDATED_AT]


def panel(values: list[float], step_ms: int = 10_000, series: int = 1, **evidence: Any) -> Panel:
    at_ms = UPDATED_MS - np.arange(len(values), dtype=np.int64)[::-1] * step_ms
    event = firing_event(evidence={"metric": "response_time", "window": WINDOW, "samples": 6, **evidence})
    (drawn,) = alert_chart(event, at_ms, np.array(values, np.float64), series).panels
    return drawn


def test_it_shows_the_time_before_as_well_and_not_more_than_some_hours() -> None:
    begin_ms, end_ms = chart_span(firing_event())
    assert (STARTED_MS - begin_ms, end_ms) == (15 * 60_000, UPDATED_MS)
    begin_ms, end_ms = chart_span(resolved_event(ends_at="2026-11-25T10:00:00.000Z"))
    assert end_ms - begin_ms == 6 * 3_600_000


def test_samples_that_are_judged_one_by_one_stand_as_they_are() -> None:
    drawn = panel([1.0, 2.0, 3.0], condition="threshold")
    assert drawn.values.tolist() == [1.0, 2.0, 3.0]
    assert [(line.value, line.severity) for line in drawn.thresholds] == [(1_000.0, "warning")]
    assert (drawn.title, drawn.subtitle) == ("response_time {host=a1, service=api}", "samples > 1000")
    assert [(span.begin_ms, span.end_ms) for span in drawn.spans] == [(STARTED_MS, UPDATED_MS)]


@pytest.mark.parametrize(("name", "value"), [("avg", 2.5), ("max", 5.0), ("min", 0.0), ("last", 5.0), ("p50", 2.5)])
def test_a_window_gives_one_value(name: str, value: float) -> None:
    drawn = panel([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0], condition="threshold", aggregation=name)
    assert (drawn.values.tolist(), drawn.at_ms.tolist()) == ([value], [UPDATED_MS]), "9 belongs to the next window"
    assert drawn.thresholds
    assert drawn.subtitle == f"{name} > 1000"


@pytest.mark.parametrize("name", ["sum", "count", "rate", "stddev"])
def test_what_a_part_of_the_samples_cannot_tell_has_no_threshold(name: str) -> None:
    drawn = panel([1.0, 2.0], condition="threshold", aggregation=name)
    assert (drawn.values.tolist(), drawn.thresholds, drawn.unit) == ([1.0, 2.0], (), "")
    assert drawn.subtitle == f"samples, judged by {name}"
    assert panel([1.0, 2.0], condition="change").thresholds == ()


def test_a_band_and_a_group_are_shown() -> None:
    at_ms = np.array([UPDATED_MS - 1_000, UPDATED_MS], np.int64)
    event = firing_event(threshold=None, operator=None, expected={"lower": 1.0, "upper": 2.0})
    (drawn,) = alert_chart(event, at_ms, np.array([1.0, 3.0]), 4).panels
    assert [(band.lower, band.upper, band.bad) for band in drawn.bands] == [(1.0, 2.0, False)]
    assert drawn.subtitle == "samples of 4 series"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40), st.sampled_from([0, 1, 7_000, 10**7]))
def test_any_samples_make_a_picture(values: list[float], step_ms: int) -> None:
    for aggregation in ("last", "avg", "p99"):
        with np.errstate(over="ignore", invalid="ignore"):
            drawn = panel(values, step_ms, condition="threshold", aggregation=aggregation)
        assert len(drawn.at_ms) == len(drawn.values) <= max(len(values), 1)
        assert (np.diff(drawn.at_ms) >= 0).all()


def test_many_samples_become_few() -> None:
    drawn = panel([float(number % 7) for number in range(20_000)], 80, condition="threshold")
    assert len(drawn.values) <= 241
    event = firing_event()
    picture = as_png(alert_chart(event, drawn.at_ms, drawn.values), 1.5)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000
