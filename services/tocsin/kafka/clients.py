"""How to reach the cluster: one connection value, and the arguments every aiokafka client is built from."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from tocsin.kafka.errors import KafkaUnreachable

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 10.0
_CONNECT_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Where the cluster is and how to authenticate; secrets stay out of the text form."""

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_check_hostname: bool = True
    client_id: str = "tocsin"
    request_timeout_ms: int = 15_000

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings, None where the protocol has no TLS.

        Raises ValueError, naming the file, when a certificate or key cannot be loaded.
        """
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca_file)
            if self.ssl_certificate_file is not None:
                context.load_cert_chain(self.ssl_certificate_file, self.ssl_key_file, self.ssl_key_password)
        except (OSError, ssl.SSLError) as error:
            files = [self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file]
            named = ", ".join(str(file) for file in files if file)
            raise ValueError(f"Kafka's TLS files ({named}) cannot be loaded: {error}") from error
        context.check_hostname = self.ssl_check_hostname
        return context


def client_arguments(connection: KafkaConnection) -> dict[str, Any]:
    """What every aiokafka client takes, the admin client too."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": connection.bootstrap_servers,
        "client_id": connection.client_id,
        "request_timeout_ms": connection.request_timeout_ms,
        "security_protocol": connection.security_protocol,
        "ssl_context": connection.ssl_context(),
    }
    if connection.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = connection.sasl_mechanism
        arguments["sasl_plain_username"] = connection.sasl_username
        arguments["sasl_plain_password"] = connection.sasl_password
    return arguments


def consumer_arguments(connection: KafkaConnection, group_id: str | None = None) -> dict[str, Any]:
    """For `AIOKafkaConsumer`: offsets are committed by us, behind the work; a new group begins at the beginning."""
    return {
        **client_arguments(connection),
        "group_id": group_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        # A worker that was killed is replaced after 10 s; three heartbeats may be lost before.
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 3_000,
    }


def producer_arguments(connection: KafkaConnection, linger_ms: int = 0) -> dict[str, Any]:
    """For `AIOKafkaProducer`: idempotent, so that its own retries neither repeat nor reorder."""
    return {
        **client_arguments(connection),
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "lz4",
        "linger_ms": linger_ms,
    }


class Startable(Protocol):
    """An aiokafka consumer or producer."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


_Client = TypeVar("_Client", bound=Startable)


@asynccontextmanager
async def started(
    client: _Client, bootstrap_servers: str, timeout_s: float = START_TIMEOUT_S
) -> AsyncIterator[_Client]:
    """Starts a client and stops it at the end. Raises KafkaUnreachable when no broker answers in time."""
    try:
        async with unreachable_in_one_line(bootstrap_servers, timeout_s):
            await client.start()
        yield client
    finally:
        # A client that never started holds sockets and tasks all the same.
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await _stop(client)


async def _stop(client: Startable) -> None:
    """Without a broker, aiokafka cancels a fetch of its own that pauses, then fails on it, and leaves sockets open."""
    try:
        await client.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        if (connections := getattr(client, "_client", None)) is not None:
            await connections.close()


@asynccontextmanager
async def unreachable_in_one_line(bootstrap_servers: str, timeout_s: float) -> AsyncIterator[None]:
    """Bounds the block in time, and turns the ways in which a cluster fails to answer into KafkaUnreachable."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise KafkaUnreachable(bootstrap_servers, f"no answer within {timeout_s:g} s") from None
    except KafkaConnectionError:
        # The same error for a closed port and for a broker that hangs up on a client with the wrong security.
        listens = await _listens(bootstrap_servers)
        reason = "it refuses this client: wrong protocol, credentials or TLS" if listens else "nothing answers there"
        raise KafkaUnreachable(bootstrap_servers, reason) from None
    except (KafkaError, OSError) as error:
        raise KafkaUnreachable(bootstrap_servers, str(error) or type(error).__name__) from error


async def _listens(bootstrap_servers: str) -> bool:
    """Whether one of the addresses takes a connection."""
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not port.isdigit():
            continue
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError):
            continue
        writer.close()
        return True
    return False


async def read_to(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], fetch_ms: int
) -> AsyncIterator[ConsumerRecord]:
    """What lies between where the consumer stands and some ends, which may be followed by a little more."""
    left = dict(ends)
    while left := {partition: end for partition, end in left.items() if await consumer.position(partition) < end}:
        for records in (await consumer.getmany(timeout_ms=fetch_ms)).values():
            for record in records:
                yield record
