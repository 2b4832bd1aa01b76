"""Tasks that run beside a worker's agents: one that fails stops the worker; all end before what they use is closed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

_ASK_AGAIN_S: Final = 1.0


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they are over, whatever they end with.

    Before Python 3.12 `asyncio.wait_for`, in our code or in a library's, can take a cancellation for its timeout: a
    task that goes on all the same is asked again.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_ASK_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


class Background:
    """Tasks of one worker."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start one; if it raises, the worker crashes, and its supervisor starts it anew."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self._app.crash(error)
            raise

    async def stop(self) -> None:
        """Cancel all and wait for their end."""
        await ended(*self._tasks)

    async def finish(self, timeout_s: float) -> None:
        """Wait until all are over by themselves, but not for ever."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)
