"""A worker that crashed ends, whatever it waits for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tocsin.agents import transport
from tocsin.agents.transport import BatchApp

HANGS = """
import threading
from tocsin.agents.last_resort import end_by_force
end_by_force(after_s=0.05)
threading.Event().wait()
"""


def test_a_worker_that_hangs_after_a_crash_is_ended_and_says_so() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert b"could not stop" in ended.stdout + ended.stderr


async def test_a_crash_begins_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[None] = []
    monkeypatch.setattr(transport, "end_by_force", lambda: ends.append(None))
    app = BatchApp("crashes", autodiscover=False, origin=None)
    for _ in range(2):
        await app.crash(RuntimeError("a bug"))
    assert ends == [None]
