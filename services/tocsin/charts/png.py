"""A chart as PNG."""

from __future__ import annotations

from tocsin.charts.model import Chart
from tocsin.charts.svg import as_svg
from tocsin.raster import svg_as_png


def as_png(chart: Chart, zoom: float = 2.0) -> bytes:
    """The picture of `as_svg`, by default with twice its pixels, for dense screens. Blocks for some 50 ms."""
    return svg_as_png(as_svg(chart), zoom)
