"""The one log of `tocsin up`: a prefix and a colour for each service on a terminal, JSON lines everywhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from tocsin.terminal import escape

SELF: Final = "up"
_COLOURS: Final = {
    SELF: "bold", "kafka": "magenta", "evaluate": "cyan", "route": "blue", "deliver": "green", "api": "yellow",
    "demo": "bright_black",
}  # fmt: skip
_WIDTH: Final = max(map(len, _COLOURS))


class Voice:
    """Says what the supervisor does, and passes on what its children print, each line whole."""

    def __init__(self, *, as_json: bool, stream: TextIO | None = None) -> None:
        self._as_json = as_json
        self._stream = stream or sys.stdout
        self._console = Console(file=self._stream, highlight=False, soft_wrap=True)
        self._status: Status | None = None

    def say(self, service: str, text: str, level: str = "info", **fields: Any) -> None:
        """A line of the supervisor's own about a service."""
        if self._as_json:
            self._json({"event": text, "level": level, "service": service, **fields})
        else:
            self._print(service, text, "bold red" if level == "error" else "yellow" if level == "warning" else "bold")

    def relay(self, service: str, line: str) -> None:
        """A line that a child printed."""
        if not self._as_json:
            self._print(service, line, "")
            return
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict):
            entry.setdefault("service", service)
            self._write(json.dumps(entry, ensure_ascii=False))
        else:
            self._json({"event": line, "level": "info", "service": service})

    def announce(self, event: str, lines: list[str], fields: dict[str, Any]) -> None:
        """Something for people in several lines, or one entry with the same facts."""
        if self._as_json:
            self._json({"event": event, "level": "info", "service": SELF, **fields})
            return
        for line in ("", *lines, ""):
            self._console.print(Text(escape(line)))

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """A moving line on a terminal while something starts; nested uses only change its text."""
        if self._as_json or not self._console.is_terminal:
            yield
            return
        with self._console.status(escape(text)) as self._status:
            yield
        self._status = None

    def busy_with(self, text: str) -> None:
        """Changes the moving line."""
        if self._status is not None:
            self._status.update(escape(text))

    def _print(self, service: str, text: str, style: str) -> None:
        prefix = Text(f"{service:<{_WIDTH}} │ ", style=_COLOURS.get(service, ""))
        self._console.print(prefix + Text(escape(text), style=style))

    def _json(self, entry: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._write(json.dumps({**entry, "timestamp": at}, ensure_ascii=False))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
