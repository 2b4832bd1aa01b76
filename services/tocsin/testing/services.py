"""tocsin's services as processes: started, killed and started again by a test, each with a log to look into."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tocsin.readiness import VARIABLE

_READY_S = 60.0
_STOP_S = 20.0
_LOG_TAIL = 4_000


class ServiceProcess:
    """One service, `python -m tocsin NAME`, with settings from `environment` alone; its lines go to `log`."""

    def __init__(self, name: str, environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.starts = 0
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
        self._environment = {**inherited, **environment}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    async def start(self, *arguments: str, ready_s: float = _READY_S) -> None:
        """Start it and wait until it says that it is ready; fails with the end of its log otherwise."""
        readable, writable = os.pipe()
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tocsin", self.name, *arguments,
                    env={**self._environment, VARIABLE: str(writable)}, pass_fds=(writable,), stdout=log, stderr=log,
                )  # fmt: skip
        finally:
            os.close(writable)
        self.starts += 1
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb")
        )
        try:
            line = await asyncio.wait_for(reader.readline(), ready_s)
        except TimeoutError:
            line = b""
        finally:
            transport.close()
        assert line == b"ready\n", f"{self.name} did not become ready:\n{self.tail()}"

    async def run(self, *arguments: str, given: bytes = b"", timeout_s: float = _READY_S) -> int:
        """Run a command to its end, with `given` as its input; returns its exit status."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tocsin", self.name, *arguments,
                env=self._environment, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            await asyncio.wait_for(process.communicate(given), timeout_s)
        finally:
            if process.returncode is None:
                process.kill()
        return process.returncode or 0

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; returns the exit status, negative for a signal."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            return await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"{self.name} did not end within {_STOP_S:g} s:\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-_LOG_TAIL:] if self.log.exists() else ""
