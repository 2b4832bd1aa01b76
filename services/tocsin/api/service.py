"""The API service from its database to its last answer."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web
from aiokafka import AIOKafkaProducer

from tocsin.agents.background import ended
from tocsin.api.app import make_app
from tocsin.api.clearing import clear_for_ever
from tocsin.api.connections import Connections, Limits
from tocsin.api.mending import mend_for_ever
from tocsin.api.metrics import Metrics
from tocsin.api.state import Api
from tocsin.api.tokens import TokenCheck, load_or_create_token
from tocsin.context import Context
from tocsin.kafka.clients import consumer_arguments, producer_arguments, started
from tocsin.projection.database import opened
from tocsin.projection.projector import Projector
from tocsin.readiness import announce_ready
from tocsin.vault import load_or_create_key

_SHUTDOWN_S = 3.0
_LINGER_S = 2.0  # for a body that nobody reads
log = structlog.get_logger("tocsin.api")


class ApiError(Exception):
    """The API cannot start or go on; one line with the mend."""


async def run(context: Context) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ApiError, DatabaseError, VaultError and KafkaUnreachable at the start, ApiError when the projection ends.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serving(context) as api:
            await _until_stopped(api, stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until_stopped(api: Api, stop: asyncio.Event) -> None:
    """Raises ApiError when the projection ends before: whoever supervises this process then starts it anew."""
    stopped = asyncio.create_task(stop.wait())
    caught_up = asyncio.create_task(api.projector.caught_up.wait())
    try:
        await asyncio.wait([stopped, caught_up, api.following], return_when=asyncio.FIRST_COMPLETED)
        if caught_up.done():
            gc.freeze()  # what exists now stays, and need not be walked again and again
            announce_ready()
        await asyncio.wait([stopped, api.following], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        caught_up.cancel()
    if api.following.done() and not stop.is_set():
        error = None if api.following.cancelled() else api.following.exception()
        log.error("the projection ended", exc_info=error)
        raise ApiError(f"the projection ended ({type(error).__name__}); its log says why; start the API again")


@asynccontextmanager
async def serving(context: Context) -> AsyncIterator[Api]:
    """Serve within the block."""
    settings = context.settings
    url = settings.database.url.get_secret_value() if settings.database.url else None
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    servers = context.connection.bootstrap_servers
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened(url, context.data_dir))
        producer = AIOKafkaProducer(**producer_arguments(context.connection))
        await stack.enter_async_context(started(producer, servers))
        client = consumer_arguments(context.connection)
        projector = Projector(database, client, context.topics, settings.database.history)
        await stack.enter_async_context(started(projector, servers))
        following = asyncio.create_task(projector.run())
        stack.push_async_callback(ended, following)
        token, _ = load_or_create_token(context)
        vault = load_or_create_key(context.data_dir, secret)
        api = Api(context, database, projector, producer, vault, TokenCheck(token), Metrics(), following)
        stack.push_async_callback(ended, asyncio.create_task(mend_for_ever(api)))
        stack.push_async_callback(ended, asyncio.create_task(clear_for_ever(api)))
        await stack.enter_async_context(_listening(api))
        yield api


@asynccontextmanager
async def _listening(api: Api) -> AsyncIterator[None]:
    settings = api.context.settings.api
    runner = web.AppRunner(
        make_app(api), access_log=None, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=75, lingering_time=_LINGER_S
    )
    await runner.setup()
    assert runner.server is not None, "set up"
    connections = Connections(runner.server, Limits(settings.connections_per_address))
    try:
        try:
            server = await asyncio.get_running_loop().create_server(connections, settings.host, settings.port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            reason = "is taken by another program" if taken else f"cannot be used ({error.strerror or error})"
            mend = "choose another with TOCSIN_API_PORT or --port" if taken else "correct TOCSIN_API_HOST"
            raise ApiError(f"api.port: {settings.host}:{settings.port} {reason}; {mend}") from None
        try:
            log.info("listening", address=str(server.sockets[0].getsockname()))
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()
