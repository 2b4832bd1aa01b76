"""A consumer's thread that leaves no call without an answer, also where it ends before those who ask it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver


class AnsweredThread(driver.AIOKafkaConsumerThread):
    """Faust's thread, whose queue of calls dies with it: whoever awaited one of these would wait for ever."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._open: set[asyncio.Future[Any]] = set()
        self._is_over = False
        super().__init__(*arguments, **settings)

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """See mode's thread. Raises ConsumerStoppedError if the thread is over or ends before it has answered."""
        if self._is_over:
            raise ConsumerStoppedError
        answer = self.parent_loop.create_future()
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        await self.method_queue.call(answer, fun, *args, **kwargs)
        return await answer

    def _stopped_set(self) -> None:
        if not self.thread_loop.is_closed():  # it ended by itself, at a crash
            super()._stopped_set()

    def set_shutdown(self) -> None:
        """See mode's thread, which calls this when it takes no more calls."""
        self.parent_loop.call_soon_threadsafe(self._fail_open)
        super().set_shutdown()

    def _fail_open(self) -> None:
        self._is_over = True
        for answer in list(self._open):
            if not answer.done():
                answer.set_exception(ConsumerStoppedError())
