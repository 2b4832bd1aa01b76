"""A chart as PNG."""

from __future__ import annotations

from tocsin.charts.model import Chart
from tocsin.charts.svg import as_svg


def as_png(chart: Chart, zoom: float = 2.0) -> bytes:
    """The picture of `as_svg`, by default with twice its pixels, for dense screens. Blocks for some 50 ms."""
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=as_svg(chart), zoom=zoom, sans_serif_family="DejaVu Sans"))
