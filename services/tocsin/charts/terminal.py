"""A chart for terminals: braille dots, with alerts marked in a line below."""

from __future__ import annotations

from typing import Final

import numpy as np

from tocsin.charts.axis import time_marks, time_range, value_range, value_text
from tocsin.charts.model import Chart, Panel

_MARGIN: Final = 10
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # rows x columns of a braille cell
_BRAILLE: Final = 0x2800
_EDGE: Final = "\N{MIDDLE DOT}"
_FIRED: Final = "\N{FULL BLOCK}"


def as_text(chart: Chart, width: int = 80, rows: int = 8) -> str:
    """Lines of at most `width` characters. A row of blocks below a panel says when alerts fired."""
    columns = max(width - _MARGIN - 1, 20)
    lines = [chart.title, time_range(chart.begin_ms, chart.end_ms)]
    for panel in chart.panels:
        lines += ["", _cut(f"{panel.title}  {panel.subtitle}", width), *_panel(chart, panel, columns, rows)]
    return "\n".join([*lines, _marks(chart, columns)]) + "\n"


def _panel(chart: Chart, panel: Panel, columns: int, rows: int) -> list[str]:
    low, high = (-0.1, 1.1) if panel.steps else value_range(*panel.lows_and_highs())
    cells = _curve(chart, panel, (low, high), columns, rows)
    limits = [threshold.value for threshold in panel.thresholds]
    limits += [end for band in panel.bands for end in (band.lower, band.upper)]
    edges = _edges(chart, panel, (low, high), columns, rows)
    at_row = {_row(limit, low, high, rows): limit for limit in limits}
    lines = []
    for row in range(rows):
        edge = high if row == 0 else low if row == rows - 1 else None
        shown = at_row.get(row, edge)
        text = "" if shown is None else value_text(shown)
        empty = "\N{BOX DRAWINGS LIGHT TRIPLE DASH HORIZONTAL}" if row in at_row else " "
        drawn = "".join(
            chr(_BRAILLE + cell) if cell else (_EDGE if column in edges[row] else empty)
            for column, cell in enumerate(cells[row].tolist())
        )
        lines.append(f"{text[: _MARGIN - 1]:>{_MARGIN - 1}} \N{BOX DRAWINGS LIGHT VERTICAL}{drawn}".rstrip())
    return [*lines, _fired(chart, panel, columns)]


def _row(value: float, low: float, high: float, rows: int) -> int:
    share = (value / 2 - low / 2) / ((high / 2 - low / 2) or 0.5)
    return min(max(int((1 - share) * rows), 0), rows - 1)


def _curve(
    chart: Chart, panel: Panel, ends: tuple[float, float], columns: int, rows: int
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Braille cells: of each column of dots all from its lowest to its highest value."""
    cells = np.zeros((rows, columns), np.int64)
    if not len(panel.at_ms):
        return cells
    low, high = ends
    span = max(chart.end_ms - chart.begin_ms, 1)
    across = np.clip((panel.at_ms - chart.begin_ms) * (2 * columns) // span, 0, 2 * columns - 1)
    share = (panel.values / 2 - low / 2) / ((high / 2 - low / 2) or 0.5)
    down = np.clip(((1 - share) * 4 * rows).astype(np.int64), 0, 4 * rows - 1)
    for dot in np.unique(across).tolist():
        here = down[across == dot]
        for height in range(int(here.min()), int(here.max()) + 1):
            cells[height // 4, dot // 2] |= _DOTS[height % 4][dot % 2]
    return cells


def _edges(chart: Chart, panel: Panel, ends: tuple[float, float], columns: int, rows: int) -> list[set[int]]:
    """By row, in which columns an end of the band of ordinary values lies."""
    found: list[set[int]] = [set() for _ in range(rows)]
    if panel.corridor is None:
        return found
    span = max(chart.end_ms - chart.begin_ms, 1)
    across = np.clip((panel.at_ms - chart.begin_ms) * columns // span, 0, columns - 1)
    for values in (panel.corridor.lower, panel.corridor.upper):
        for column, value in zip(across.tolist(), values.tolist(), strict=True):
            if ends[0] <= value <= ends[1]:
                found[_row(value, *ends, rows)].add(column)
    return found


def _fired(chart: Chart, panel: Panel, columns: int) -> str:
    """Which columns overlap an alert."""
    span = max(chart.end_ms - chart.begin_ms, 1)
    marks = [" "] * columns
    for fired in panel.spans:
        first = min((fired.begin_ms - chart.begin_ms) * columns // span, columns - 1)
        last = min((fired.end_ms - chart.begin_ms) * columns // span, columns - 1)
        for column in range(max(first, 0), max(last, first, 0) + 1):
            marks[column] = _FIRED
    return f"{'fired':>{_MARGIN - 1}} \N{BOX DRAWINGS LIGHT VERTICAL}{''.join(marks)}".rstrip()


def _marks(chart: Chart, columns: int) -> str:
    line = [" "] * (columns + _MARGIN + 1)
    span = max(chart.end_ms - chart.begin_ms, 1)
    free = 0
    for at_ms, text in time_marks(chart.begin_ms, chart.end_ms, columns // 12):
        begin = _MARGIN + 1 + (at_ms - chart.begin_ms) * (columns - 1) // span - len(text) // 2
        if begin >= free and begin + len(text) <= len(line):
            line[begin : begin + len(text)] = text
            free = begin + len(text) + 1
    return "".join(line).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"
