"""Brokers that outlive the command that started them: finding one by its data directory, and stopping it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from tocsin.kafka.broker_files import HOST, BrokerPaths
from tocsin.kafka.errors import KafkaStartError
from tocsin.kafka.process import DirectoryLock

_KILL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningBroker:
    """A broker that holds a data directory now."""

    pid: int
    port: int
    detached: bool

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"


def find_running(data_dir: Path) -> RunningBroker | None:
    """The broker that runs on the data directory, started by whichever process; None when there is none."""
    return _read_running(BrokerPaths(data_dir.resolve())) if is_in_use(data_dir) else None


def is_in_use(data_dir: Path) -> bool:
    """Whether a broker holds the data directory, one that is just starting or stopping included."""
    paths = BrokerPaths(data_dir.resolve())
    if not paths.lock.exists():
        return False
    lock = DirectoryLock(paths.lock)
    if lock.acquire():
        lock.release()
        return False
    return True


def stop_detached(data_dir: Path, timeout_s: float = 20.0) -> bool:
    """Stops the detached broker on the data directory; False when none runs there.

    Raises KafkaStartError when the broker belongs to a running `tocsin up`, which would only start it again.
    """
    running = find_running(data_dir)
    if running is None:
        return False
    if not running.detached:
        raise KafkaStartError(
            f"the broker in {data_dir} (process {running.pid}) belongs to another tocsin command: end that one"
        )
    try:
        process = psutil.Process(running.pid)
        process.terminate()
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_KILL_WAIT_S)
    except psutil.NoSuchProcess:
        return True  # it ended on its own meanwhile
    finally:
        BrokerPaths(data_dir.resolve()).running.unlink(missing_ok=True)
    return True


def in_use_message(paths: BrokerPaths) -> str:
    """The line that refuses a second broker on one data directory."""
    running = _read_running(paths)
    who = f"process {running.pid}, port {running.port}" if running else "it is just starting or stopping"
    return (
        f"the data directory {paths.home} is in use by another broker ({who}): "
        "stop that one, or choose another directory with --data-dir"
    )


def _read_running(paths: BrokerPaths) -> RunningBroker | None:
    """What the broker's starter wrote down, if that process is alive and really is this directory's broker."""
    try:
        entry = json.loads(paths.running.read_text("utf-8"))
        running = RunningBroker(int(entry["pid"]), int(entry["port"]), bool(entry["detached"]))
        # A process id is used again after a reboot; the command line tells whether it is still ours.
        return running if str(paths.properties) in psutil.Process(running.pid).cmdline() else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
