"""A real Kafka for tests: one broker for a whole run, topics of one test, and the records of a topic."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from tocsin.kafka.admin import ensure_topics
from tocsin.kafka.clients import (
    KafkaConnection,
    client_arguments,
    consumer_arguments,
    started,
    unreachable_in_one_line,
)
from tocsin.kafka.embedded import EmbeddedKafka
from tocsin.schemas.topics import TopicSpec

BOOTSTRAP_VARIABLE = "TOCSIN_TEST_BOOTSTRAP_SERVERS"

_FETCH_WAIT_MS = 200
_ADMIN_TIMEOUT_S = 30.0


@contextmanager
def shared_broker(data_dir: Path) -> Iterator[str]:
    """Yields bootstrap servers: of the cluster that TOCSIN_TEST_BOOTSTRAP_SERVERS names, else of an embedded broker."""
    named = os.environ.get(BOOTSTRAP_VARIABLE, "").strip()
    if named:
        yield named
        return
    with EmbeddedKafka(data_dir) as broker:
        yield broker.bootstrap_servers


async def create_topics(bootstrap_servers: str, specs: Sequence[TopicSpec]) -> None:
    """Creates the topics and waits until they can be used; fails if one is not as declared."""
    problems = await ensure_topics(KafkaConnection(bootstrap_servers), specs)
    assert not problems, "; ".join(map(str, problems))


async def delete_topics(bootstrap_servers: str, names: Sequence[str]) -> None:
    """Removes a test's topics, so that a long run does not slow the broker down; what is not there is no error."""
    async with unreachable_in_one_line(bootstrap_servers, _ADMIN_TIMEOUT_S):
        admin = AIOKafkaAdminClient(**client_arguments(KafkaConnection(bootstrap_servers)))
        try:
            await admin.start()
            await admin.delete_topics(list(names))
        finally:
            await admin.close()


async def collect(
    bootstrap_servers: str,
    *topics: str,
    count: int | None = None,
    until: Callable[[list[ConsumerRecord]], bool] | None = None,
    deadline_s: float = 20.0,
) -> list[ConsumerRecord]:
    """Reads topics from their beginning until `count` records came, or `until` is content with those read so far.

    With neither, reads what is there now. Records of one partition are in order. Raises AssertionError, saying what
    came, when the deadline passes first.
    """
    deadline = time.monotonic() + deadline_s
    records: list[ConsumerRecord] = []
    async with _reader(bootstrap_servers, topics) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while not await _enough(consumer, records, ends, count, until):
            if time.monotonic() >= deadline:
                raise AssertionError(f"{', '.join(topics)}: {len(records)} records within {deadline_s:g} s: {records}")
            for fetched in (await consumer.getmany(timeout_ms=_FETCH_WAIT_MS)).values():
                records += fetched
    return records


@asynccontextmanager
async def _reader(bootstrap_servers: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
    arguments = consumer_arguments(KafkaConnection(bootstrap_servers))
    consumer = AIOKafkaConsumer(*topics, **{**arguments, "fetch_max_wait_ms": _FETCH_WAIT_MS})
    async with started(consumer, bootstrap_servers) as reader:
        yield reader


async def _enough(
    consumer: AIOKafkaConsumer,
    records: list[ConsumerRecord],
    ends: dict[object, int],
    count: int | None,
    until: Callable[[list[ConsumerRecord]], bool] | None,
) -> bool:
    if until is not None:
        return until(records)
    if count is not None:
        return len(records) >= count
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])
