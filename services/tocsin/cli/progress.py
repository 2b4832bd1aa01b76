"""How far a long command is: a bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


class Progress:
    """One bar that takes on what is going on; silent off a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._shown = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reading(self, done: int, total: int) -> None:
        """The history is read."""
        self._show("reading", done, total)

    def judging(self, done: int, total: int) -> None:
        """The rules look at it."""
        self._show("judging", done, total)

    def drawing(self, done: int, total: int) -> None:
        """What fired is looked at again, for the plot."""
        self._show("drawing", done, total)

    def _show(self, text: str, done: int, total: int) -> None:
        if self._bar is None:
            return
        if text != self._shown:
            self._bar.reset(self._task, description=text)
            self._shown = text
        self._bar.update(self._task, completed=done, total=max(total, 1))
