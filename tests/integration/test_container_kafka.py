"""The same topics on Kafka's own container image, where a Docker engine runs; skipped where none does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer

from tocsin.kafka.admin import check_topics, ensure_topics
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.kafka.jars import KAFKA_VERSION
from tocsin.kafka.ports import free_ports
from tocsin.kafka.wire import probe
from tocsin.schemas.topics import Topics, topic_specs
from tocsin.testing import collect, eventually_sync


def _engine_runs() -> bool:
    import docker
    from docker.errors import DockerException

    try:
        docker.from_env(timeout=5).ping()
    except DockerException:
        return False
    return True


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    if not _engine_runs():
        pytest.skip("no Docker engine runs here")
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }
    image = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(9092, port)
    for name, value in settings.items():
        image = image.with_env(name, value)
    with image:
        eventually_sync(lambda: (seen := probe("127.0.0.1", port, 1.0)) and seen.broker_count, 60, "Kafka answers")
        yield f"127.0.0.1:{port}"


async def test_topics_are_created_verified_written_and_read(container: str, topic_prefix: str) -> None:
    connection, specs, names = KafkaConnection(container), topic_specs(topic_prefix, 2), Topics(topic_prefix)
    assert await ensure_topics(connection, specs) == []
    assert await check_topics(connection, specs) == []
    async with started(AIOKafkaProducer(**producer_arguments(connection)), container) as producer:
        await producer.send_and_wait(names.alerts, b"value", key=b"key")
    (record,) = await collect(container, names.alerts, count=1)
    assert (record.key, record.value) == (b"key", b"value")
