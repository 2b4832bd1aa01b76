"""A connection that says too little for too long is closed, and one address has only so many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from tocsin.api.connections import Connections, Limits, connection_of
from tocsin.testing import eventually

DEADLINE_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@web.middleware
async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
    connection = connection_of(request)
    assert connection is not None
    connection.began()
    try:
        return await handler(request)
    finally:
        connection.over()


@asynccontextmanager
async def served(limits: Limits, release: asyncio.Event | None = None) -> AsyncIterator[tuple[Connections, int]]:
    async def hello(_request: web.Request) -> web.Response:
        if release is not None:
            await release.wait()
        return web.Response(text="hello")

    app = web.Application(middlewares=[watched])
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, keepalive_timeout=3_600)
    await runner.setup()
    assert runner.server is not None
    connections = Connections(runner.server, limits)
    server = await asyncio.get_running_loop().create_server(connections, "127.0.0.1", 0)
    try:
        yield connections, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), DEADLINE_S)


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\nX-A: " + b"b" * 4_000])
async def test_half_a_header_is_closed_with_a_reason(sent: bytes) -> None:
    async with served(Limits(header_s=0.05)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await until_closed(reader)).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with served(Limits(header_s=0.05)) as (connections, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await until_closed(reader) == b""
        writer.close()
        await eventually(lambda: not connections.open)


async def test_half_a_header_behind_a_whole_request_is_closed() -> None:
    async with served(Limits(header_s=0.05)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.write(REQUEST[:-2])
        assert b"HTTP/1.1 408 " in await until_closed(reader)
        writer.close()


async def test_a_slow_answer_is_waited_for() -> None:
    release = asyncio.Event()
    async with served(Limits(header_s=0.01), release) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        other, late = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        late.write(b"G")
        await until_closed(other)  # so the deadline of the first has passed as well
        late.close()
        release.set()
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_one_address_has_only_so_many() -> None:
    async with served(Limits(per_address=2)) as (connections, port):
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await eventually(lambda: connections.open.total() == 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await until_closed(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        streams[0][1].close()
        await eventually(lambda: connections.open.total() == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        streams[1][1].close()
