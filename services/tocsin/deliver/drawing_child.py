"""The process that draws: SVG from standard input, PNG to standard output, each behind its length in four bytes.

What cannot be drawn is answered with nothing. It ends with its input, and so with the process that it belongs to.
"""

from __future__ import annotations

import sys
from typing import Final

from tocsin.raster import svg_as_png

LENGTH_BYTES: Final = 4
_ZOOM: Final = 1.5


def main() -> None:
    """Draw until the input ends."""
    given, drawn = sys.stdin.buffer, sys.stdout.buffer
    while len(head := given.read(LENGTH_BYTES)) == LENGTH_BYTES:
        svg = given.read(int.from_bytes(head, "big"))
        try:
            picture = svg_as_png(svg.decode(), _ZOOM)
        except ValueError:
            picture = b""
        drawn.write(len(picture).to_bytes(LENGTH_BYTES, "big") + picture)
        drawn.flush()


if __name__ == "__main__":
    main()
