"""A chart as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Final

import numpy as np

from tocsin.charts.axis import time_marks, time_range, value_marks, value_range, value_text
from tocsin.charts.model import Chart, Corridor, Floats, Panel
from tocsin.charts.thinning import thinned

WIDTH: Final = 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 88, 64, 36
_TITLE, _PLOT, _GAP = 40, 170, 22
_LONE_PLOT: Final = 300
_INK, _FAINT, _GRID, _LINE = "#1f2933", "#616e7c", "#e4e7eb", "#2457a6"
COLOURS: Final = {"critical": "#c81e1e", "error": "#d9480f", "warning": "#b7791f", "info": "#1c7ed6"}
_TEXT_PX: Final = 7.0  # width of a letter at 13 px, on the wide side
Scale = Callable[[float], float]


def as_svg(chart: Chart) -> str:
    """The picture, 960 wide and as high as its panels need; text in the first sans-serif font there is."""
    plot = _LONE_PLOT if len(chart.panels) == 1 else _PLOT
    height = _TOP + len(chart.panels) * (_TITLE + plot + _GAP) + _BOTTOM - _GAP
    body = [*_heading(chart)]
    for place, panel in enumerate(chart.panels):
        body += _panel(chart, panel, _TOP + place * (_TITLE + plot + _GAP) + _TITLE, plot)
    body += _time_axis(chart, height - _BOTTOM)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="DejaVu Sans, Noto Sans, Liberation Sans, Arial, sans-serif" font-size="13" fill="{_INK}">'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(body)}</svg>'
    )


def _heading(chart: Chart) -> Iterator[str]:
    yield _text(_LEFT, 28, _cut(chart.title, 800, 18), 'font-size="18" font-weight="bold"')
    yield _text(_LEFT, 48, time_range(chart.begin_ms, chart.end_ms), f'fill="{_FAINT}"')


def _panel(chart: Chart, panel: Panel, top: int, height: int) -> Iterator[str]:
    low, high = (-0.1, 1.1) if panel.steps else value_range(*panel.lows_and_highs())
    x, y = _scale(chart.begin_ms, chart.end_ms, _LEFT, WIDTH - _RIGHT), _scale(low, high, top + height, top)
    yield _text(_LEFT, top - 22, _cut(panel.title, 760, 14), 'font-size="14" font-weight="bold"')
    yield _text(_LEFT, top - 7, _cut(panel.subtitle, 760, 12), f'font-size="12" fill="{_FAINT}"')
    yield from _bands(panel, y, top, height)
    if panel.corridor is not None and len(panel.at_ms) > 1:
        yield _corridor(panel, panel.corridor, x, y, top, height)
    yield from _grid(chart, panel, x, y, (low, high), top, height)
    for span in panel.spans:
        yield from _span(span.severity, x(span.begin_ms), x(span.end_ms), top, height)
    yield from _thresholds(panel, y)
    yield _line(chart, panel, x, y)
    size = f'width="{WIDTH - _LEFT - _RIGHT}" height="{height}"'
    yield f'<rect x="{_LEFT}" y="{top}" {size} fill="none" stroke="#9aa5b1"/>'


def _scale(low: float, high: float, begin: float, end: float) -> Scale:
    span = (high / 2 - low / 2) or 0.5  # halves: the whole may be beyond the largest float
    return lambda value: round(begin + (value / 2 - low / 2) / span * (end - begin), 1)


def _grid(
    chart: Chart, panel: Panel, x: Scale, y: Scale, ends: tuple[float, float], top: int, height: int
) -> Iterator[str]:
    marks = [0.0, 1.0] if panel.steps else value_marks(*ends, most=6 if height > _PLOT else 4)
    for value in marks:
        yield f'<path d="M{_LEFT} {y(value)}H{WIDTH - _RIGHT}" stroke="{_GRID}"/>'
        text = ("no", "yes")[int(value)] if panel.steps else value_text(value)
        yield _text(_LEFT - 8, y(value) + 4, text, f'font-size="12" text-anchor="end" fill="{_FAINT}"')
    for at_ms, _ in time_marks(chart.begin_ms, chart.end_ms, 10):
        yield f'<path d="M{x(at_ms)} {top}V{top + height}" stroke="{_GRID}"/>'
    if panel.unit:
        place = f"{WIDTH - _RIGHT} {top - 7}".split()
        yield _text(float(place[0]), float(place[1]), panel.unit, f'font-size="12" text-anchor="end" fill="{_FAINT}"')


def _bands(panel: Panel, y: Scale, top: int, height: int) -> Iterator[str]:
    for band in panel.bands:
        upper, lower = max(y(band.upper), top), min(y(band.lower), top + height)
        size = f'width="{WIDTH - _LEFT - _RIGHT}" height="{round(max(lower - upper, 1), 1)}"'
        colour = COLOURS.get(band.severity, _FAINT) if band.bad else "#2f9e44"
        yield f'<rect x="{_LEFT}" y="{upper}" {size} fill="{colour}" fill-opacity="0.08"/>'


def _corridor(panel: Panel, corridor: Corridor, x: Scale, y: Scale, top: int, height: int) -> str:
    def edge(values: Floats) -> list[tuple[float, float]]:
        downs = (min(max(y(value), top), top + height) for value in values.tolist())
        return list(zip(map(x, panel.at_ms.tolist()), downs, strict=True))

    places = edge(corridor.upper) + edge(corridor.lower)[::-1]
    outline = "L".join(f"{across} {down}" for across, down in places)
    return f'<path d="M{outline}Z" fill="#2f9e44" fill-opacity="0.16"/>'


def _span(severity: str, begin: float, end: float, top: int, height: int) -> Iterator[str]:
    colour, width = COLOURS.get(severity, _FAINT), round(max(end - begin, 2), 1)
    yield f'<rect x="{begin}" y="{top}" width="{width}" height="{height}" fill="{colour}" fill-opacity="0.16"/>'
    yield f'<rect x="{begin}" y="{top}" width="{width}" height="4" fill="{colour}"/>'


def _thresholds(panel: Panel, y: Scale) -> Iterator[str]:
    lines = [(threshold.value, threshold.severity) for threshold in panel.thresholds]
    lines += [(end, band.severity) for band in panel.bands for end in (band.upper, band.lower)]
    last = -100.0
    for value, severity in sorted(lines, reverse=True):
        colour = COLOURS.get(severity, _FAINT)
        style = f'stroke="{colour}" stroke-width="1.5" stroke-dasharray="6 4"'
        yield f'<path d="M{_LEFT} {y(value)}H{WIDTH - _RIGHT}" {style}/>'
        last = max(y(value) + 4, last + 14)  # texts never lie on each other
        yield _text(WIDTH - _RIGHT + 6, last, value_text(value), f'font-size="12" font-weight="bold" fill="{colour}"')


def _line(chart: Chart, panel: Panel, x: Scale, y: Scale) -> str:
    at_ms, values = thinned(panel.at_ms, panel.values, chart.begin_ms, chart.end_ms, WIDTH - _LEFT - _RIGHT)
    places = [(x(at), y(value)) for at, value in zip(at_ms.tolist(), values.tolist(), strict=True)]
    if len(places) == 1:
        return f'<circle cx="{places[0][0]}" cy="{places[0][1]}" r="3" fill="{_LINE}"/>'
    gaps = _gaps(at_ms)
    parts = []
    for place, (across, down) in enumerate(places):
        if not place or gaps[place - 1]:
            parts.append(f"M{across} {down}")
        else:
            parts.append(f"H{across}V{down}" if panel.steps else f"L{across} {down}")
    if panel.steps and places:
        parts.append(f"H{WIDTH - _RIGHT}")
    style = f'stroke="{_LINE}" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round"'
    return f'<path d="{"".join(parts)}" fill="none" {style}/>'


def _gaps(at_ms: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[bool]:
    """Where nothing came for long: more than ten times what is usual. There the line is broken."""
    between = np.diff(at_ms)
    usual = float(np.percentile(between, 90)) if len(between) else 0.0
    return (between > max(10 * usual, 1)).tolist() if len(between) >= 8 else [False] * len(between)


def _time_axis(chart: Chart, down: int) -> Iterator[str]:
    x = _scale(chart.begin_ms, chart.end_ms, _LEFT, WIDTH - _RIGHT)
    for at_ms, text in time_marks(chart.begin_ms, chart.end_ms, 10):
        yield _text(x(at_ms), down + 18, text, f'font-size="12" text-anchor="middle" fill="{_FAINT}"')


def _text(across: float, down: float, text: str, style: str) -> str:
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return f'<text x="{across}" y="{down}" {style}>{escape(shown)}</text>'


def _cut(text: str, width: int, size: int) -> str:
    most = int(width / (_TEXT_PX * size / 13))
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
