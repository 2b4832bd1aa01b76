"""A consumer's thread that ends answers everybody who asked it something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ConsumerStoppedError

from tocsin.agents.answered_thread import AnsweredThread
from tocsin.agents.transport import BatchApp
from tocsin.testing import eventually

DEADLINE_S = 20


class Thread(AnsweredThread):
    """The thread as it is, without a Kafka. When its queue is closed it waits, if told so, until `may_end`."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(consumer)
        self.has_closed, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_end.set()

    async def has_ended(self) -> bool:
        return self.thread_loop.is_closed()

    async def on_start(self) -> None:
        """No consumer to start."""

    async def on_thread_stop(self) -> None:
        await super().on_thread_stop()
        self.parent_loop.call_soon_threadsafe(self.has_closed.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.may_end.wait(), self.parent_loop))


@pytest.fixture
async def thread() -> AsyncIterator[Thread]:
    app = BatchApp("answers", autodiscover=False, origin=None)
    transport = SimpleNamespace(app=app)
    made = Thread(SimpleNamespace(app=app, transport=transport, RebalanceListener=lambda _: None))
    await made.start()
    yield made
    made.may_end.set()
    await made.stop()


async def twice(number: int) -> int:
    return 2 * number


async def test_a_thread_answers(thread: Thread) -> None:
    assert await thread.call_thread(twice, 4) == 8
    with pytest.raises(ZeroDivisionError):
        await thread.call_thread(lambda: 1 // 0)  # type: ignore[arg-type,return-value]


async def test_who_asks_a_thread_that_is_ending_hears_that_it_is_over(thread: Thread) -> None:
    """Its queue is closed, and nobody takes from it what still comes."""
    thread.may_end.clear()
    stopping = asyncio.ensure_future(thread.stop())
    async with asyncio.timeout(DEADLINE_S):
        await thread.has_closed.wait()
        asking = [asyncio.ensure_future(thread.call_thread(twice, number)) for number in range(3)]
        given_up = asyncio.ensure_future(thread.call_thread(twice, 3))
        await asyncio.sleep(0)
        given_up.cancel()
        thread.may_end.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        await stopping
    assert [type(answer) for answer in answers] == [ConsumerStoppedError] * 3
    with pytest.raises(asyncio.CancelledError):
        await given_up


async def test_who_asks_a_thread_that_is_over_hears_so_at_once(thread: Thread) -> None:
    await thread.stop()
    with pytest.raises(ConsumerStoppedError):
        await thread.call_thread(twice, 1)


async def test_a_thread_that_ended_by_itself_can_be_stopped(thread: Thread) -> None:
    """A crash ends it before the consumer comes to stop it; by then its loop is closed."""
    await thread.crash(RuntimeError("a bug"))
    await eventually(thread.has_ended, DEADLINE_S)
    await thread.stop()
    with pytest.raises(ConsumerStoppedError):
        await thread.call_thread(twice, 1)
