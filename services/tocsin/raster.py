"""SVG as PNG. Apart from everything else, so that a process that does no more than this stays small."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Final

from tocsin.strokes import outlined

_FOLDERS: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def svg_as_png(svg: str, zoom: float = 1.0) -> bytes:
    """The picture with `zoom` times its pixels. Blocks for some 50 ms, other threads too. Raises ValueError.

    Where the machine has no font, texts are drawn as lines.
    """
    from resvg_py import svg_to_bytes

    shown = svg if has_font() else outlined(svg)
    return bytes(svg_to_bytes(svg_string=shown, zoom=zoom, sans_serif_family="DejaVu Sans"))


@cache
def has_font() -> bool:
    """Whether there is a font where the drawing library looks for one; elsewhere than on Linux there always is."""
    folders = [Path(folder).expanduser() for folder in _FOLDERS]
    return sys.platform != "linux" or any(True for folder in folders for _ in folder.rglob("*.[ot]t[cf]"))
