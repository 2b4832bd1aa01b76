"""Clients end with the block that they were started for, whatever aiokafka does meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from tocsin.kafka.clients import started


class Connections:
    closed = False

    async def close(self) -> None:
        self.closed = True


class Client:
    """One whose stop waits for a task of its own that it has cancelled, as aiokafka's does for a fetch that pauses."""

    def __init__(self) -> None:
        self._client = Connections()

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        pausing = asyncio.ensure_future(asyncio.Event().wait())
        await asyncio.sleep(0)
        pausing.cancel()
        await pausing


async def test_a_client_that_fails_on_its_own_cancelled_task_ends_with_its_connections() -> None:
    async with started(Client(), "broker:9092") as client:
        pass
    assert client._client.closed


async def test_who_is_cancelled_while_a_client_stops_is_cancelled() -> None:
    stops = asyncio.Event()

    class Hanging(Client):
        async def stop(self) -> None:
            stops.set()
            await asyncio.Event().wait()

    async def use() -> None:
        async with started(Hanging(), "broker:9092"):
            pass

    using = asyncio.ensure_future(use())
    await stops.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
