"""What the consumer's thread fetches across a rebalance, from a real broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from tocsin.agents.transport import BatchConsumer, _ConsumerThread
from tocsin.kafka.clients import KafkaConnection, consumer_arguments, producer_arguments, started
from tocsin.schemas.topics import Topics, metric_topic_specs
from tocsin.testing import create_topics, eventually


class Thread(_ConsumerThread):
    """The thread's fetch alone."""

    def __init__(self, reader: Any) -> None:
        self.consumer = reader


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_fetch_that_outlasts_a_rebalance_gives_back_what_it_took(
    kafka: str, topics: Topics, resumed: bool
) -> None:
    connection = KafkaConnection(kafka)
    await create_topics(kafka, metric_topic_specs((f"{topics.prefix}metrics",), 1))
    changelog = TP(f"{topics.prefix}metrics", 0)
    reader: Any = SimpleNamespace(flow_active=True, stops=0)
    arguments = consumer_arguments(connection) | {"auto_offset_reset": "earliest"}
    async with (
        started(AIOKafkaProducer(**producer_arguments(connection)), kafka) as producer,
        started(AIOKafkaConsumer(**arguments), kafka) as consumer,
    ):
        await producer.send_and_wait(changelog.topic, b"before", partition=0)
        consumer.assign([changelog])
        consumer.seek(changelog, 1)
        others = {TP("others", 0)}  # what was active when the fetch began
        fetching = asyncio.ensure_future(Thread(reader)._fetch_records(consumer, others, timeout=30.0))
        await eventually(lambda: consumer._fetcher._fetch_waiters, 10, "the fetch waits")
        # A rebalance: nothing is active any more, and recovery seeks where it will read on.
        others.clear()
        reader.flow_active, reader.stops = resumed, 1
        consumer.seek(changelog, 0)
        assert await fetching == {}
        reader.flow_active = True
        records = await Thread(reader)._fetch_records(consumer, {changelog}, timeout=30.0)
    assert [record.value for record in records[changelog]] == [b"before"]


def test_the_consumer_counts_how_often_its_flow_was_stopped() -> None:
    reader = BatchConsumer.__new__(BatchConsumer)
    reader.can_resume_flow = reader.suspend_flow = asyncio.Event()
    reader.stop_flow()
    assert (reader.stops, reader.flow_active) == (1, False)
