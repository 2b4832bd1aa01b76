"""Tasks that run beside a worker's agents: one that fails stops the worker; all end before what they use is closed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
