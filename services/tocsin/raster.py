"""SVG as PNG. Apart from everything else, so that a process that does no more than this stays small."""

from __future__ import annotations


def svg_as_png(svg: str, zoom: float = 1.0) -> bytes:
    """The picture with `zoom` times its pixels. Blocks for some 50 ms, other threads too. Raises ValueError."""
    from resvg_py import svg_to_bytes

    return bytes(svg_to_bytes(svg_string=svg, zoom=zoom, sans_serif_family="DejaVu Sans"))
