"""Charts of commands: to a file, or into the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tocsin.cli.failures import Failure

if TYPE_CHECKING:
    from tocsin.charts import Chart


def draw(chart: Chart, plot: str) -> None:
    """Write a PNG; `-` prints characters."""
    from tocsin.charts import as_png, as_text

    if plot == "-":
        import shutil

        from tocsin.terminal import escape

        for line in as_text(chart, shutil.get_terminal_size((100, 24)).columns).splitlines():
            print(escape(line))
        return
    try:
        Path(plot).write_bytes(as_png(chart))
    except OSError as error:
        raise Failure(f"--plot: {plot}: cannot be written ({error.strerror})") from None
    print(f"wrote {plot}", file=sys.stderr)
