"""The delivery service: one consumer for each channel type, all of them in one process unless told otherwise."""

from __future__ import annotations

import asyncio
import errno
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client import start_http_server

from tocsin.agents.background import ended
from tocsin.config import ConfigError
from tocsin.context import Context
from tocsin.deliver.actions import Actions
from tocsin.deliver.channels import CHANNELS, channel_type
from tocsin.deliver.composer import Composer, base_url
from tocsin.deliver.consumer import TypeConsumer
from tocsin.deliver.directory import Directory, follow, opened_directory
from tocsin.deliver.drawing import Drawing
from tocsin.deliver.forgetting import forget_deleted
from tocsin.deliver.guard import Guard
from tocsin.deliver.history import History
from tocsin.deliver.journal import Journal
from tocsin.deliver.parking import Parking
from tocsin.deliver.pictures import Pictures
from tocsin.deliver.protocol import Transport
from tocsin.deliver.topic_writer import TopicWriter
from tocsin.deliver.worker import Surroundings
from tocsin.kafka.clients import producer_arguments, started
from tocsin.permits import PURPOSE, Permits
from tocsin.readiness import announce_ready
from tocsin.vault import load_or_create_key

_LOOPBACK = "127.0.0.1"
log = structlog.get_logger("tocsin.deliver")


async def run(context: Context, channel_types: Sequence[str] = ()) -> None:
    """Deliver until SIGTERM or SIGINT.

    Raises UnknownChannelType, ConfigError, VaultError and KafkaUnreachable at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server, thread = _metrics_server(context.settings.delivery.port)
    try:
        log.info("metrics", url=f"http://{_LOOPBACK}:{server.server_port}/metrics")
        await serve(context, channel_types, stop)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _metrics_server(port: int) -> tuple[WSGIServer, Thread]:
    try:
        return start_http_server(port, _LOOPBACK)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken by another program" if taken else f"cannot be used ({error.strerror or error})"
        mend = "choose another with TOCSIN_DELIVERY_PORT; 0 is any"
        raise ConfigError(f"delivery.port: port {port} on {_LOOPBACK} {reason}; {mend}") from None


async def serve(
    context: Context, channel_types: Sequence[str], stop: asyncio.Event, transport: Transport | None = None
) -> None:
    """Deliver until `stop` is set; without a transport, one is made by the settings."""
    kinds = tuple(dict.fromkeys(channel_types)) or tuple(CHANNELS)
    for kind in kinds:
        channel_type(kind)
    try:
        async with (
            surroundings(context, kinds, transport) as (arounds, directory, channels),
            asyncio.TaskGroup() as tasks,
        ):
            following = tasks.create_task(follow(directory, channels))
            forgetting = tasks.create_task(forget_deleted(context, directory, arounds[kinds[0]].journal))
            consumers = [TypeConsumer(context, kind, arounds[kind], Parking(context)) for kind in kinds]
            running = [tasks.create_task(consumer.run(stop)) for consumer in consumers]
            ready = tasks.create_task(_announce(consumers))
            await asyncio.wait(running)
            await ended(ready, following, forgetting)
    except ExceptionGroup as group:
        raise _first(group) from None


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """One of the errors, since callers expect those that `run` names."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


async def _announce(consumers: Sequence[TypeConsumer]) -> None:
    for consumer in consumers:
        await consumer.assigned.wait()
    log.info("ready", consumers=len(consumers))
    announce_ready()


@asynccontextmanager
async def surroundings(
    context: Context, kinds: Sequence[str], transport: Transport | None = None
) -> AsyncIterator[tuple[dict[str, Surroundings], Directory, AIOKafkaConsumer]]:
    """What the consumer of each channel type needs; the channels, and the consumer to follow them with.

    Channels, key and journal are shared. The ways out are not: names or sockets that hang stay one type's trouble.
    """
    given = context.settings.secret_key
    vault = load_or_create_key(context.data_dir, given.get_secret_value() if given else None)
    producer = AIOKafkaProducer(**producer_arguments(context.connection))
    async with (
        started(producer, context.connection.bootstrap_servers),
        opened_directory(context) as (directory, consumer),
        History(context.connection, context.topics.samples) as history,
        Drawing() as drawing,
        AsyncExitStack() as stack,
    ):
        journal, address = Journal(producer, context.topics), base_url(context)
        actions = Actions(Permits(vault.derived(PURPOSE)), address, context.settings.delivery.action_links)
        composer = Composer(address, Pictures(history.read, drawing), actions)
        writer = TopicWriter(producer, context.topics.prefix, context.settings.metrics.topic_names)
        arounds = {}
        for kind in kinds:
            ways_out = await stack.enter_async_context(opened_transport(context, transport))
            ways_out = replace(ways_out, topics=writer, files=files_dir(context))
            arounds[kind] = Surroundings(directory, vault, ways_out, journal, composer)
        yield arounds, directory, consumer


@asynccontextmanager
async def opened_transport(context: Context, given: Transport | None = None) -> AsyncIterator[Transport]:
    """The transport given, else one that the settings' allow list guards."""
    if given is not None:
        yield given
        return
    guard = Guard(context.settings.delivery.allow_networks)
    async with guard.session() as session:
        yield Transport(guard, session, ssl.create_default_context())


def files_dir(context: Context) -> Path:
    """Where channels of type file write."""
    return context.settings.delivery.files_dir or context.data_dir / "files"
