"""An event loop whose clock jumps to the next timer whenever nothing else is to be done: an hour passes in no time.

Sockets on loopback work, for what is sent there is there at once. What other threads and processes do takes real time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Real time in which a thread, or another process on loopback, may still answer before the clock moves.
_GRACE_S = 0.001
_BEGIN_MS = 1_764_000_000_000


class _Selector(selectors.DefaultSelector):
    """Waits in virtual time."""

    def __init__(self, clock: VirtualLoop) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, if need be after the clock has moved on by the timeout."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        found = super().select(_GRACE_S)
        if not found:
            self._clock.now_s += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `now_s` is its clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now_s


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual_ms() -> int:
    """What time it is in the running loop, as epoch milliseconds."""
    return _BEGIN_MS + round(asyncio.get_running_loop().time() * 1_000)
