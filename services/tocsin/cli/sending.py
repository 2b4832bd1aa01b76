"""Samples to a topic, as fast as the broker takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from tocsin.cli.failures import ExitCode, Failure
from tocsin.cli.samples import Message
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started

_LINGER_MS = 5
_IN_FLIGHT = 5_000
_ACKNOWLEDGED_S = 60.0
_METADATA_S = 10.0


async def send(connection: KafkaConnection, topic: str, messages: Iterator[Message]) -> int:
    """Sends all messages, waits for every acknowledgement, and returns how many samples they held."""
    producer = AIOKafkaProducer(**producer_arguments(connection, _LINGER_MS))
    async with started(producer, connection.bootstrap_servers) as client:
        await _require_topic(client, topic, connection)
        sent = 0
        waiting: list[asyncio.Future[object]] = []
        loop = asyncio.get_running_loop()
        try:
            # Reading may block (a pipe that is still written), so it must not hold up the sending.
            while (message := await loop.run_in_executor(None, next, messages, None)) is not None:
                waiting.append(await client.send(topic, message.value, message.key))
                sent += message.samples
                if len(waiting) >= _IN_FLIGHT:
                    await _acknowledged(waiting)
            await _acknowledged(waiting)
        except MessageSizeTooLargeError:
            raise Failure(f"a line is larger than Kafka takes, after {sent} samples; split it") from None
        except (KafkaError, TimeoutError) as error:
            text = f"Kafka at {connection.bootstrap_servers} stopped taking samples ({type(error).__name__})"
            raise Failure(f"{text}; some may be sent: send the file again", code=ExitCode.UNREACHABLE) from None
        return sent


async def _acknowledged(waiting: list[asyncio.Future[object]]) -> None:
    async with asyncio.timeout(_ACKNOWLEDGED_S):
        await asyncio.gather(*waiting)
    waiting.clear()


async def _require_topic(producer: AIOKafkaProducer, topic: str, connection: KafkaConnection) -> None:
    """Without this, sending to a topic that is not there waits for minutes."""
    try:
        async with asyncio.timeout(_METADATA_S):
            await producer.partitions_for(topic)
    except (UnknownTopicOrPartitionError, TimeoutError):
        mend = "run `tocsin topics create`, or name another with --topic"
        raise Failure(f"--topic: there is no topic {topic!r} at {connection.bootstrap_servers}; {mend}") from None
    except KafkaError as error:
        raise Failure(f"--topic: {topic!r} cannot be used: {error}") from None
