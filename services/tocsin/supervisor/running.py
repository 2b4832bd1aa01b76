"""What a running `tocsin up` tells others: one may hold a data directory, and where its services listen."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tocsin.kafka.process import DirectoryLock


@dataclass(frozen=True, slots=True)
class RunningUp:
    """The `tocsin up` that holds a data directory now."""

    pid: int
    api_url: str
    bootstrap_servers: str


def up_lock(data_dir: Path) -> DirectoryLock:
    """The lock that a `tocsin up` holds for as long as it runs."""
    return DirectoryLock(data_dir / "up.lock")


def find_up(data_dir: Path) -> RunningUp | None:
    """The `tocsin up` on the data directory; None when there is none, or it is still starting."""
    if not (data_dir / "up.lock").exists():
        return None
    lock = up_lock(data_dir)
    if lock.acquire():
        lock.release()
        return None
    try:
        return RunningUp(**json.loads((data_dir / "up.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_running(data_dir: Path, running: RunningUp) -> None:
    """Tells the command line where the services are; replaces the file whole."""
    written = data_dir / "up.json.new"
    written.write_text(json.dumps(asdict(running)), "utf-8")
    os.replace(written, data_dir / "up.json")


def forget_running(data_dir: Path) -> None:
    """Takes that back."""
    (data_dir / "up.json").unlink(missing_ok=True)
