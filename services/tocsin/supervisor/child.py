"""One service as a child process: started, watched, restarted with growing pauses, ended within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tocsin.kafka
from tocsin import readiness
from tocsin.supervisor.voice import Voice

_SHIM = Path(tocsin.kafka.__file__).with_name("die_with_parent.py")
_CHUNK: Final = 64 * 1024
_MAX_LINE: Final = 16 * 1024
_KILL_S: Final = 5.0
_LAST_WORDS_S: Final = 1.0
_WRONG_USAGE: Final = 2


@dataclass(frozen=True, slots=True)
class Restarts:
    """How long to pause after each death in a row, and when a child counts as well again."""

    first_s: float = 0.5
    longest_s: float = 30.0
    stable_s: float = 30.0
    attempts_before_ready: int = 5

    def pause_s(self, deaths: int) -> float:
        """The pause after so many deaths in a row; each doubles it."""
        return min(self.longest_s, self.first_s * 2.0 ** min(deaths - 1, 30))


class Child:
    """A service under supervision. `run` is its life; `ready` and `gave_up` are what others wait for."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        voice: Voice,
        restarts: Restarts | None = None,
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.gave_up = asyncio.Event()
        self._command = [sys.executable, "-m", "tocsin", *arguments]
        self._environment = environment
        self._voice = voice
        self._restarts = restarts or Restarts()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    def start(self) -> None:
        """Begins the child's life."""
        self._life = asyncio.create_task(self._live(), name=f"child-{self.name}")

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, a bounded wait, then SIGKILL for it and all that it started; no restart after."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        if self._life is None:
            return
        done, _ = await asyncio.wait([self._life], timeout=timeout_s)
        if not done:
            self._voice.say(self.name, f"did not end within {timeout_s:g} s and is killed", "warning")
            self.kill()
            await asyncio.wait([self._life], timeout=_KILL_S)

    def kill(self) -> None:
        """SIGKILL, at once, for it and all that it started."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            _kill_group(self._process.pid)

    async def _live(self) -> None:
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._once()
            if self._stopping.is_set():
                return
            deaths = 1 if loop.time() - began >= self._restarts.stable_s else deaths + 1
            was_ready = self.ready.is_set()
            self.ready.clear()
            never_ready = not was_ready and deaths >= self._restarts.attempts_before_ready
            if code == _WRONG_USAGE or never_ready:
                self._voice.say(self.name, f"{_how(code)} and is not started again", "error")
                self.gave_up.set()
                return
            pause_s = self._restarts.pause_s(deaths)
            self._voice.say(self.name, f"{_how(code)}; starting again in {pause_s:g} s", "warning")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _once(self) -> int:
        """One process from its start to its end; returns its exit status, negative for a signal."""
        readable, writable = os.pipe()
        try:
            process = await self._spawn(writable)
        except BaseException:
            os.close(readable)
            raise
        finally:
            os.close(writable)
        self._process = process
        if self._stopping.is_set():  # it was told to end while it was made
            process.terminate()
        assert process.stdout is not None, "the child's output is piped"
        relay = asyncio.create_task(self._relay(process.stdout))
        watch = asyncio.create_task(self._watch(readable))
        code = await process.wait()
        _kill_group(process.pid)  # what it started, if it did not end that itself
        await asyncio.wait([relay], timeout=_LAST_WORDS_S)
        for task in (relay, watch):
            task.cancel()
        await asyncio.gather(relay, watch, return_exceptions=True)
        return code

    async def _spawn(self, ready_fd: int) -> asyncio.subprocess.Process:
        command = self._command
        if sys.platform == "linux":
            # Ends with this process however that ends. Linux counts the thread that starts it: this is the main one.
            command = [sys.executable, "-I", "-S", str(_SHIM), str(os.getpid()), *command]
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self._environment, readiness.VARIABLE: str(ready_fd), "PYTHONUNBUFFERED": "1"},
            pass_fds=(ready_fd,),
            start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, which stops all in order
        )

    async def _watch(self, readable: int) -> None:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(readable, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            if await reader.readline() == b"ready\n":
                self.ready.set()
        finally:
            transport.close()

    async def _relay(self, output: asyncio.StreamReader) -> None:
        """Whole lines; one beyond the bound is cut into pieces, so that no child can fill our memory."""
        rest = b""
        while chunk := await output.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._voice.relay(self.name, line.decode("utf-8", "replace").rstrip("\r"))
            if len(rest) > _MAX_LINE:
                self._voice.relay(self.name, rest.decode("utf-8", "replace"))
                rest = b""
        if rest:
            self._voice.relay(self.name, rest.decode("utf-8", "replace"))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
