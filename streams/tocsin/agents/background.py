"""Tasks that run beside a worker's agents: one that fails stops the worker; all end before what they use is closed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_ASK_AGAIN_S: Final = 1.0


class Background:
    """Tasks of one worker."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one; if it raises, the worker crashes, and its supervisor starts it anew."""
        self._tasks.append(asyncio.create_task(self._guarded(work)))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self._app.crash(error)
            raise

    async def stop(self) -> None:
        """Cancel all and wait for their end."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            # A library that takes a cancellation for something else must not hold up the end for ever.
            _, waiting = await asyncio.wait(self._tasks, timeout=_ASK_AGAIN_S)
            self._tasks = list(waiting)
