"""The Faust app that a worker runs: its settings, its outbox, and its life."""

import gc
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import faust
from faust.types import TP
from faust.types.auth import CredentialsT

from tocsin.agents.decompression import bound_decompression
from tocsin.agents.instance import claim_instance
from tocsin.agents.once import Once
from tocsin.agents.outbox import Outbox
from tocsin.agents.record_batches import read_in_batches
from tocsin.agents.transport import BatchApp, BatchTransport, Committable

_MIB = 2**20
_Service = TypeVar("_Service")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What an agent's worker is started with. `client` are the arguments of every aiokafka client."""

    group: str
    bootstrap_servers: str
    client: Mapping[str, Any]
    data_dir: Path
    prefix: str
    session_timeout_s: float
    request_timeout_s: float
    max_unpacked_bytes: int
    log_level: str
    credentials: CredentialsT | ssl.SSLContext | None = None
    on_ready: Callable[[], None] = field(default=lambda: None)


def make_app(settings: WorkerSettings, batched_topics: Sequence[str]) -> BatchApp:
    """A Faust app whose batched topics come in runs, and whose offsets are committed behind our own checkpoints."""
    bound_decompression(settings.max_unpacked_bytes)
    read_in_batches(batched_topics)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    brokers = settings.bootstrap_servers.split(",")
    app = BatchApp(
        settings.group,
        broker=[f"kafka://{server.strip()}" for server in brokers],
        broker_credentials=settings.credentials,
        store="rocksdb://?driver=rocksdict",
        datadir=str(settings.data_dir),
        autodiscover=False,
        origin=None,
        web_enabled=False,
        topic_allow_declare=False,  # every topic is made before a worker starts
        topic_disable_leader=True,
        value_serializer="raw",
        key_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=_MIB,
        broker_max_poll_records=64,  # record batches, not records
        broker_commit_interval=1.0,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 6,
        broker_request_timeout=max(settings.request_timeout_s, settings.session_timeout_s),
        stream_ack_exceptions=False,  # what an agent could not process must not count as processed
        # Faust's own choice starts an agent that raised anew, on the same stream and behind what it failed on.
        agent_supervisor="mode.CrashingSupervisor",
        stream_wait_empty=True,
        consumer_group_instance_id=claim_instance(settings.data_dir),
        # Faust loses the first records that a standby reads: it empties their queue once more when recovery ends.
        table_standby_replicas=0,
        table_cleanup_interval=3_600,
    )
    app.batched_topics = frozenset(batched_topics)
    app.committable = Committable()
    app.transport = BatchTransport(app.conf.broker, app, loop=None)
    return app


def batched_topic(app: BatchApp, *names: str) -> Any:
    """A topic whose messages are runs."""
    return app.topic(*names, key_type=None, value_type=None, value_serializer=None, key_serializer=None)


def read_runs(
    app: BatchApp,
    topics: Sequence[str],
    name: str,
    service: Once[_Service],
    take: Callable[[_Service, TP, Any], Awaitable[None]],
    at_once: int = 1,
) -> None:
    """An agent on topics that are read in runs: `take` is given the service and each run, one after the other.

    Where several are taken `at_once`, they are begun in order, and `take` itself must keep those of one partition so.
    """

    async def agent(stream: Any) -> None:
        made = await service.get()
        async for event in stream.events():
            app.committable.taken(event.message.tp)
            await take(made, event.message.tp, event.message.value)

    app.agent(batched_topic(app, *topics), name=name, concurrency=at_once)(agent)


def make_table(app: BatchApp, name: str, changelog: str, partitions: int) -> Any:
    """A table of bytes whose changelog is one of our declared topics."""
    topic = app.topic(changelog, key_type=bytes, value_type=bytes, partitions=partitions, compacting=True)
    return app.Table(name, partitions=partitions, key_type=bytes, value_type=bytes, changelog_topic=topic)


def run_worker(app: BatchApp, settings: WorkerSettings) -> None:
    """Run until a signal says stop; returns or exits as Faust's worker does."""
    # What exists now lives as long as the process: the collector need not walk it again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    worker = faust.Worker(app, loglevel=settings.log_level, redirect_stdouts=False, quiet=True, override_logging=False)
    worker.spinner = None  # it writes control characters even where no terminal is
    worker.execute_from_commandline()


def new_outbox(settings: WorkerSettings) -> Outbox:
    """A producer for this worker; must be made inside its loop."""
    return Outbox(dict(settings.client))
