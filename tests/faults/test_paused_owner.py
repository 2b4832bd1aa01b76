"""A worker that stands still between asking the group and writing, until others went on with its partition."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode, encode
from tocsin.schemas.command import Command, CommandType, Trigger
from tocsin.schemas.topics import Topics
from tocsin.testing import collect, eventually
from tocsin.testing.services import ServiceProcess

# The worker as it is, but that it stops at the worst moment: its journal is written, the group said that the partition
# is its own, and nothing of the run is carried out. Once, when the file is there and the run has an acknowledgement.
STOPS = """
import os, pathlib, signal
from tocsin.agents.run_table import RunTable
carry_out, trap = RunTable._carry_out, pathlib.Path(os.environ["TRAP"])
async def stopping(self, partition, reign, run):
    if trap.exists() and any(b"acknowledged" in (output.value or b"") for output in run.outputs):
        trap.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    await carry_out(self, partition, reign, run)
RunTable._carry_out = stopping
from tocsin.__main__ import main
main()
"""
ALERT = "a"
AT_MS = 1_700_000_000_000


@dataclass
class Scene:
    """Commands for one alert, and the events that come of them."""

    kafka: str
    topics: Topics
    producer: AIOKafkaProducer
    sent: int = 0

    async def command(self, kind: CommandType) -> None:
        self.sent += 1
        trigger = Trigger("r", "r") if kind == "trigger" else None
        command = Command(f"command-{self.sent}", kind, ALERT, "ann", AT_MS + self.sent, trigger=trigger)
        await self.producer.send_and_wait(self.topics.commands, encode(command), key=ALERT.encode())

    async def events(self, different: int, more_than: int = 0) -> list[tuple[AlertEvent, bytes]]:
        """All of them, once so many different ones are there; each with the bytes that it came in."""

        async def found() -> list[tuple[AlertEvent, bytes]]:
            values = [record.value for record in await collect(self.kafka, self.topics.alerts)]
            events = [(decode(AlertEvent, value), value) for value in values]
            assert len({event.id for event, _ in events}) >= different, "too few different events"
            assert len(events) > more_than, "too few events"
            return events

        return await eventually(found, 90, poll_s=0.2)


def environment(kafka: str, topics: Topics, directory: Path) -> Mapping[str, str]:
    directory.mkdir()
    return {
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": topics.prefix,
        "TOCSIN_KAFKA_PARTITIONS": "2",
        "TOCSIN_METRICS_TOPICS": f"{topics.prefix}metrics",
        "TOCSIN_DATA_DIR": str(directory / "data"),
        "TOCSIN_LOG_FORMAT": "json",
    }


@asynccontextmanager
async def stopping_worker(environment: Mapping[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STOPS, "route", env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_what_a_paused_owner_of_alerts_writes_late_changes_nothing(
    kafka: str, topics: Topics, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    other, last = (
        ServiceProcess("route", environment(kafka, topics, tmp_path / name), tmp_path) for name in ("other", "last")
    )
    own = {**environment(kafka, topics, tmp_path / "paused"), "TRAP": str(trap)}
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka)))
        await stack.enter_async_context(started(producer, kafka))
        stack.push_async_callback(other.kill)
        stack.push_async_callback(last.kill)
        scene = Scene(kafka, topics, producer)
        async with stopping_worker(own, tmp_path / "paused.log") as paused:
            await scene.command("trigger")
            await scene.events(1)
            trap.touch()
            await scene.command("acknowledge")
            await eventually(lambda: not trap.exists(), 60, "the worker stops")
            await other.start()
            await scene.events(2)  # the journal, carried out by the other
            await scene.command("resolve")
            await scene.command("trigger")
            before = len(await scene.events(4))
            paused.send_signal(signal.SIGCONT)
            await scene.events(4, more_than=before)  # it goes on where it was
        await other.kill()
        await last.start()  # it has nothing but the changelog
        await scene.command("resolve")
        events = await scene.events(5)
    wordings = {event.id: content for event, content in events}
    assert all(wordings[event.id] == content for event, content in events), "one event, in one wording"
    first = list({event.id: event for event, _ in events}.values())
    assert [(event.sequence, event.type) for event in first] == [
        (1, "firing"), (2, "acknowledged"), (3, "resolved"), (4, "firing"), (5, "resolved"),
    ]  # fmt: skip
