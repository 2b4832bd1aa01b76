"""Topics against a real Kafka: created, verified, and reported where they differ from their declaration."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer

from tocsin.kafka.admin import check_topics, ensure_topics
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.kafka.ports import free_ports
from tocsin.schemas.topics import Cleanup, Topics, TopicSpec, metric_topic_specs, topic_specs
from tocsin.testing import collect, delete_topics


async def test_all_topics_exist_as_declared(kafka: str, topics: Topics) -> None:
    assert await check_topics(KafkaConnection(kafka), topic_specs(topics.prefix, 2)) == []


async def test_a_topic_can_be_written_and_read_at_once_after_creation(kafka: str, topics: Topics) -> None:
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        for number in range(20):
            await producer.send(topics.alerts, key=b"%d" % (number % 3), value=b"%d" % number)
    records = await collect(kafka, topics.alerts, count=20)
    assert sorted(int(record.value) for record in records) == list(range(20))
    for key in (b"0", b"1", b"2"):
        values = [int(record.value) for record in records if record.key == key]
        assert values == sorted(values)


async def test_missing_topics_are_reported_and_then_created(kafka: str, topic_prefix: str) -> None:
    connection, specs = KafkaConnection(kafka), topic_specs(topic_prefix, 1)
    before = await check_topics(connection, specs)
    assert [problem.topic for problem in before] == [spec.name for spec in specs]
    assert str(before[0]) == f"topic {specs[0].name}: does not exist; run `tocsin topics create`"
    assert await ensure_topics(connection, specs) == []
    assert await check_topics(connection, specs) == []
    await delete_topics(kafka, [spec.name for spec in specs])


async def test_processes_that_create_the_same_topics_at_once_all_succeed(kafka: str, topic_prefix: str) -> None:
    connection, specs = KafkaConnection(kafka), topic_specs(topic_prefix, 1)
    assert await asyncio.gather(*(ensure_topics(connection, specs) for _ in range(4))) == [[]] * 4
    await delete_topics(kafka, [spec.name for spec in specs])


async def test_a_wrong_partition_count_is_reported_with_the_mend_and_left_alone(kafka: str, topics: Topics) -> None:
    connection = KafkaConnection(kafka)
    problems = await ensure_topics(connection, topic_specs(topics.prefix, 3))
    assert topics.alerts in {problem.topic for problem in problems}
    assert topics.rules not in {problem.topic for problem in problems}
    (alerts,) = (str(problem) for problem in problems if problem.topic == topics.alerts)
    assert alerts == (
        f"topic {topics.alerts}: has 2 partitions, not 3; "
        "set TOCSIN_KAFKA_PARTITIONS=2, or delete the topic and create it anew"
    )
    assert await check_topics(connection, topic_specs(topics.prefix, 2)) == []


async def test_a_wrong_cleanup_policy_or_retention_is_reported(kafka: str, topics: Topics) -> None:
    rules = TopicSpec(topics.rules, 1, Cleanup.DELETE, 1000)
    alerts = TopicSpec(topics.alerts, 2, Cleanup.DELETE, 1000)
    problems = [str(problem) for problem in await check_topics(KafkaConnection(kafka), [rules, alerts])]
    assert len(problems) == 3
    assert problems[0].startswith(f"topic {topics.rules}: has cleanup.policy=compact, not delete; set it with ")
    assert f"topic {topics.alerts}: has retention.ms=604800000, not 1000" in problems[2]


async def test_a_refused_topic_is_a_problem_and_the_others_are_created(kafka: str, topic_prefix: str) -> None:
    good, other = topic_specs(topic_prefix, 1)[:2]
    impossible = replace(other, replication_factor=99)
    problems = await ensure_topics(KafkaConnection(kafka), [good, impossible])
    assert [problem.topic for problem in problems] == [other.name]
    assert "cannot be created" in str(problems[0])
    assert await check_topics(KafkaConnection(kafka), [good]) == []
    await delete_topics(kafka, [good.name])


async def test_a_users_metrics_topic_is_created_when_missing_and_never_judged(kafka: str, topic_prefix: str) -> None:
    connection, name = KafkaConnection(kafka), f"{topic_prefix}metrics"
    assert await ensure_topics(connection, metric_topic_specs((name,), 2)) == []
    assert await ensure_topics(connection, metric_topic_specs((name,), 7)) == []
    await delete_topics(kafka, [name])


async def test_a_cluster_that_is_not_there_is_named_in_one_line() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(KafkaUnreachable) as caught:
        await check_topics(KafkaConnection(address), topic_specs(), timeout_s=10)
    assert str(caught.value).startswith(f"Kafka at {address} cannot be reached (nothing answers there): check that")
    assert "\n" not in str(caught.value)


async def test_a_cluster_that_refuses_the_client_is_told_from_one_that_is_not_there(kafka: str) -> None:
    connection = KafkaConnection(kafka, "SASL_PLAINTEXT", sasl_username="somebody", sasl_password="guess")
    assert "guess" not in repr(connection)
    with pytest.raises(KafkaUnreachable, match="it refuses this client: wrong protocol, credentials or TLS"):
        await check_topics(connection, topic_specs(), timeout_s=10)


async def test_a_port_that_takes_connections_and_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection, nobody reads it
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(KafkaUnreachable, match=r"no answer within 0\.5 s"):
            await check_topics(KafkaConnection(address), topic_specs(), timeout_s=0.5)
