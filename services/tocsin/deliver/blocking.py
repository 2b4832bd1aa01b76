"""Calls that may block for as long as the outside world likes, kept away from the event loop's own pool."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    ended: asyncio.Future[Any]

    def make(self) -> None:
        try:
            result = self.work()
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who gets it
            self._tell(self.ended.set_exception, error)
        else:
            self._tell(self.ended.set_result, result)

    def _tell(self, settle: Callable[[Any], None], outcome: object) -> None:
        def told() -> None:
            if not self.ended.done():
                settle(outcome)

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(told)


class BlockingCalls:
    """At most `limit` blocking calls at once; the others wait their turn.

    The threads are daemons and end when nothing waits: neither the event loop nor the end of the process waits for a
    call that hangs. A call whose caller has given up before it began is never made, so what waits is bounded by those
    who wait.
    """

    def __init__(self, name: str, limit: int) -> None:
        assert limit > 0
        self._name = name
        self._limit = limit
        self._threads = 0
        self._waiting: deque[_Call] = deque()
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Make the call; cancelling lets go of it, even if its thread stays behind. Raises what the call raises."""
        loop = asyncio.get_running_loop()
        call = _Call(work, loop, loop.create_future())
        with self._lock:
            self._waiting.append(call)
            is_short = self._threads < self._limit
            self._threads += is_short
        if is_short:
            threading.Thread(target=self._make_calls, name=self._name, daemon=True).start()
        try:
            result: T = await call.ended
            return result
        finally:
            with self._lock, suppress(ValueError):
                self._waiting.remove(call)

    def _make_calls(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                call = self._waiting.popleft()
            call.make()
