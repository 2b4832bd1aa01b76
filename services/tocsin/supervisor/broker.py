"""The embedded broker below `tocsin up`: its port, its start with progress, and its return when it dies."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from tocsin.config import Loaded
from tocsin.kafka.detached import find_running, is_in_use
from tocsin.kafka.embedded import EmbeddedKafka, StartStep
from tocsin.kafka.errors import KafkaStartError
from tocsin.kafka.ports import is_taken
from tocsin.supervisor.child import Restarts
from tocsin.supervisor.errors import UpError
from tocsin.supervisor.voice import Voice

_POLL_S: Final = 0.2
_LEAVING_S: Final = 20.0


class Broker:
    """One embedded broker; `start`, then `watch` for as long as it is wanted, then `stop`."""

    def __init__(self, data_dir: Path, loaded: Loaded, voice: Voice) -> None:
        self._data_dir = data_dir
        self._loaded = loaded
        self._voice = voice
        self._restarts = Restarts()
        self._kafka: EmbeddedKafka | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> str:
        """Starts the broker, or finds the one of `tocsin kafka start`; returns bootstrap servers.

        Raises UpError or KafkaStartError.
        """
        running = find_running(self._data_dir)
        if running is not None and running.detached:
            self._voice.say("kafka", f"uses the broker that runs on {running.bootstrap_servers}")
            return running.bootstrap_servers
        await self._wait_for_predecessor()
        port = self._port()
        self._kafka = self._new(port)
        await asyncio.to_thread(self._kafka.start)
        return self._kafka.bootstrap_servers

    async def watch(self) -> None:
        """Starts the broker anew, on the same port, whenever it has died."""
        deaths = 0
        while self._kafka is not None and not await self._stopped_within(_POLL_S):
            if self._kafka.exit_code is None:
                continue
            deaths += 1
            pause_s = self._restarts.pause_s(deaths)
            self._voice.say("kafka", f"ended; starting again in {pause_s:g} s (see {self._kafka.log_path})", "warning")
            if await self._stopped_within(pause_s):
                return
            self._kafka = self._new(self._kafka.port)
            try:
                await asyncio.to_thread(self._kafka.start)
                deaths = 0
            except KafkaStartError as error:
                self._voice.say("kafka", str(error), "error")

    async def stop(self) -> None:
        """Ends the broker, if it is ours; one that was running before runs on."""
        self._stopping.set()
        if self._kafka is not None:
            await asyncio.to_thread(self._kafka.stop)

    def _new(self, port: int | None) -> EmbeddedKafka:
        return EmbeddedKafka(self._data_dir, port, on_progress=self._progress)

    def _progress(self, step: StartStep) -> None:
        if step is StartStep.READY:
            return
        self._voice.busy_with(f"Kafka: {step.value} ...")
        if step is StartStep.JARS:
            self._voice.say("kafka", "starting the embedded broker (the first time its jars are fetched)")

    def _port(self) -> int | None:
        wanted = self._loaded.settings.kafka.embedded_port
        if not wanted or not is_taken(wanted):
            return wanted or None
        if self._loaded.is_default("kafka.embedded_port"):
            self._voice.say("kafka", f"port {wanted} is taken by another program; a free one is used", "warning")
            return None
        source = self._loaded.provenance["kafka.embedded_port"]
        mend = "stop that, or choose another with TOCSIN_KAFKA_EMBEDDED_PORT"
        raise UpError(f"{source}: kafka.embedded_port: port {wanted} is taken by another program; {mend}")

    async def _wait_for_predecessor(self) -> None:
        """The broker of an `up` that was killed needs a moment to close its files."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_S):
                while is_in_use(self._data_dir):  # noqa: ASYNC110 - nobody says when a lock is free
                    await asyncio.sleep(_POLL_S)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()
