"""Charts say what is there, whatever the values, the labels and the width."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resvg_py import svg_to_bytes

from tocsin.charts import Band, Chart, Corridor, Panel, Span, Threshold, as_png, as_svg, as_text
from tocsin.charts.thinning import thinned
from tocsin.strokes import outlined

BEGIN_MS = 1_764_000_000_000
finite = st.floats(allow_nan=False, allow_infinity=False)


def chart(values: list[float], span_ms: int = 3_600_000, title: str = "cpu") -> Chart:
    at_ms = BEGIN_MS + np.linspace(0, span_ms, max(len(values), 1)).astype(np.int64)[: len(values)]
    panel = Panel(
        title, "avg over 1m > 5", at_ms, np.array(values, np.float64), (Threshold(5.0, "warning"),),
        (Band(-1.0, 2.0, "critical"),), (Span(BEGIN_MS + span_ms // 2, BEGIN_MS + span_ms, "critical"),), "%",
    )  # fmt: skip
    return Chart("Backtest", BEGIN_MS, BEGIN_MS + span_ms, (panel,))


@given(st.lists(finite, max_size=20), st.sampled_from([0, 1, 900, 86_400_000, 10**12]), st.text(max_size=200))
def test_any_values_and_titles_make_a_picture(values: list[float], span_ms: int, title: str) -> None:
    drawn = chart(values, span_ms, title)
    ET.fromstring(as_svg(drawn))  # noqa: S314 - our own
    assert "nan" not in as_svg(drawn)
    text = as_text(drawn, 60)
    assert max(map(len, text.split("\n"))) <= max(60, len(title) + 60)


def test_the_picture_shows_line_threshold_band_and_span() -> None:
    svg = as_svg(chart([1.0, 9.0, 3.0]))
    assert "cpu" in svg
    assert 'stroke-dasharray="6 4"' in svg  # thresholds and the ends of the band
    assert 'fill="#c81e1e" fill-opacity="0.16"' in svg  # what fired
    assert 'fill="#2f9e44"' in svg  # the good values
    assert svg == as_svg(chart([1.0, 9.0, 3.0]))


def test_a_png_has_twice_the_pixels() -> None:
    content = as_png(chart([1.0, 9.0, 3.0]))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") == 1920


def test_the_terminal_marks_when_it_fired() -> None:
    fired = next(line for line in as_text(chart([1.0, 9.0, 3.0]), 71).split("\n") if "fired" in line)
    assert fired.count("\N{FULL BLOCK}") == pytest.approx(30, abs=1)


@given(st.lists(st.tuples(st.integers(0, 500), finite), max_size=300), st.integers(1, 20))
def test_thinning_keeps_the_ends_and_the_extremes(points: list[tuple[int, float]], columns: int) -> None:
    points.sort(key=lambda point: point[0])
    at_ms = np.array([at for at, _ in points], np.int64)
    values = np.array([value for _, value in points], np.float64)
    thin_at, thin = thinned(at_ms, values, 0, 500, columns)
    assert len(thin) <= max(min(len(points), 4 * columns), 0)
    if points:
        assert (thin.min(), thin.max()) == (values.min(), values.max())
        assert (thin_at[0], thin_at[-1]) == (at_ms[0], at_ms[-1])


def test_without_a_font_texts_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    svg = as_svg(chart([1.0, 9.0, 3.0], title="<b>&amp; ÄÖ, 100% (of) [it]: \"x\" 'y'"))
    lines = outlined(svg)
    ET.fromstring(lines)  # noqa: S314 - our own
    assert "<text" not in lines
    bare = bytes(svg_to_bytes(svg_string=svg, skip_system_fonts=True))
    drawn = bytes(svg_to_bytes(svg_string=lines, skip_system_fonts=True))
    assert len(drawn) > len(bare) + 2_000, "there is more to be seen"
    monkeypatch.setattr("tocsin.raster.has_font", lambda: False)
    assert as_png(chart([1.0, 9.0, 3.0])).startswith(b"\x89PNG")


def test_a_corridor_is_drawn_and_does_not_flatten_the_line() -> None:
    at_ms = np.arange(200) * 60_000
    values = np.sin(np.arange(200) / 10)
    lower, upper = values - 1, values + 1
    upper[7] = 1e9
    panel = Panel("p", "", at_ms, values, corridor=Corridor(lower, upper))
    low, high = panel.lows_and_highs()
    assert -2.1 < low < -1.9
    assert 1.9 < high < 3
    chart = Chart("c", 0, 12_000_000, (panel,))
    svg = as_svg(chart)
    assert svg.count('fill="#2f9e44"') == 1
    ET.fromstring(svg)  # noqa: S314 - our own
    assert "\N{MIDDLE DOT}" in as_text(chart)
    bare = Chart("c", 0, 12_000_000, (Panel("p", "", at_ms, values),))
    assert "\N{MIDDLE DOT}" not in as_text(bare)
