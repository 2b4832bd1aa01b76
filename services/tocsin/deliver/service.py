"""The delivery service: one consumer for each channel type that is in use, in one process unless told otherwise."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import start_http_server

from tocsin.agents.background import ended
from tocsin.config import ConfigError
from tocsin.context import Context
from tocsin.deliver.actions import Actions
from tocsin.deliver.channels import CHANNELS, channel_type
from tocsin.deliver.composer import Composer, base_url
from tocsin.deliver.consumer import TypeConsumer
from tocsin.deliver.demand import Demand
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
from tocsin.kafka.errors import KafkaUnreachable
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
            opened_directory(context) as (directory, channels),
            Demand(context, directory) as demand,
            surroundings(context, directory) as (around, journal),
            asyncio.TaskGroup() as tasks,
        ):
            following = tasks.create_task(follow(directory, channels))
            forgetting = tasks.create_task(forget_deleted(context, directory, journal))
            types = _Types(context, around, transport, stop, tasks)
            types.start(await demand.wanted(kinds))
            ready = tasks.create_task(types.announce())
            while not stop.is_set():
                idle = [kind for kind in kinds if kind not in types.running]
                await demand.wait(idle, stop)
                if idle and not stop.is_set():
                    types.start(await _wanted(demand, idle))
            await types.end()
            await ended(ready, following, forgetting)
    except ExceptionGroup as group:
        raise _first(group) from None


async def _wanted(demand: Demand, idle: Collection[str]) -> set[str]:
    try:
        return await demand.wanted(idle)
    except (KafkaUnreachable, KafkaError, TimeoutError) as error:
        log.info("channel types that nobody uses were not looked at", reason=str(error) or type(error).__name__)
        return set()


class _Types:
    """The consumers that run, by channel type. One that was started stays: what it has taken on is its to settle."""

    def __init__(
        self,
        context: Context,
        around: Callable[[Transport], Surroundings],
        transport: Transport | None,
        stop: asyncio.Event,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._context, self._around, self._transport = context, around, transport
        self._stop, self._tasks = stop, tasks
        self._assigned: list[asyncio.Event] = []
        self.running: dict[str, asyncio.Task[None]] = {}

    def start(self, kinds: Iterable[str]) -> None:
        """Start the consumers of types."""
        for kind in sorted(kinds):
            self._assigned.append(asyncio.Event())
            self.running[kind] = self._tasks.create_task(self._deliver(kind, self._assigned[-1]))

    async def _deliver(self, kind: str, assigned: asyncio.Event) -> None:
        """The ways out are each type's own: names or sockets that hang stay its trouble."""
        async with opened_transport(self._context, self._transport) as ways_out:
            consumer = TypeConsumer(self._context, kind, self._around(ways_out), Parking(self._context), assigned)
            await consumer.run(self._stop)

    async def announce(self) -> None:
        """Say that all that were started at first are there."""
        for assigned in tuple(self._assigned):
            await assigned.wait()
        # What exists now stays: walking it again and again would stand still for a tenth of a second each time.
        gc.freeze()
        log.info("ready", consumers=len(self._assigned))
        announce_ready()

    async def end(self) -> None:
        """Wait until all have ended."""
        if self.running:
            await asyncio.wait(self.running.values())


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """One of the errors, since callers expect those that `run` names."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, ExceptionGroup) else found


@asynccontextmanager
async def surroundings(
    context: Context, directory: Directory
) -> AsyncIterator[tuple[Callable[[Transport], Surroundings], Journal]]:
    """What makes what the consumer of a channel type needs, of its own ways out; all else is shared, as the journal."""
    given = context.settings.secret_key
    vault = load_or_create_key(context.data_dir, given.get_secret_value() if given else None)
    producer = AIOKafkaProducer(**producer_arguments(context.connection))
    async with (
        started(producer, context.connection.bootstrap_servers),
        History(context.connection, context.topics.samples, context.settings.metrics.max_unpacked_bytes) as history,
        Drawing() as drawing,
    ):
        journal, address = Journal(producer, context.topics), base_url(context)
        actions = Actions(Permits(vault.derived(PURPOSE)), address, context.settings.delivery.action_links)
        composer = Composer(address, Pictures(history.read, drawing), actions)
        writer = TopicWriter(producer, context.topics.prefix, context.settings.metrics.topic_names)

        def around(ways_out: Transport) -> Surroundings:
            ways_out = replace(ways_out, topics=writer, files=files_dir(context))
            return Surroundings(directory, vault, ways_out, journal, composer)

        yield around, journal


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
