"""Starting and ending the broker's process, and the lock that says whose data directory it is."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_SHIM = Path(__file__).with_name("die_with_parent.py")
_KILL_WAIT_S = 10.0


class DirectoryLock:
    """An exclusive `flock` on a data directory, handed on to the broker, so that it lasts exactly as long as that.

    A lock file with a process id in it would outlive a crash; the kernel releases this one with the last process that
    holds the descriptor, however it ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Takes the lock if nobody has it; False, at once, if another process does."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    @property
    def descriptor(self) -> int:
        """The open descriptor, for a child to inherit."""
        assert self._descriptor is not None, "the lock is not held"
        return self._descriptor

    def release(self) -> None:
        """Lets go of this process's share; a child that inherited the descriptor keeps the directory locked."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Child:
    """A running program, owned by a thread of its own.

    Linux sends the parent-death signal when the *thread* that started the child ends. So a thread starts it and then
    waits for it: `start()` may be called from any short-lived worker thread, and the child still lives as long as the
    process does.
    """

    def __init__(self, process: subprocess.Popen[bytes], ended: threading.Event) -> None:
        self._process = process
        self._ended = ended

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode if self._ended.is_set() else None

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it ended within the time."""
        return self._ended.wait(timeout_s)

    def end(self, timeout_s: float) -> None:
        """SIGTERM, a bounded wait, then SIGKILL; returns when the process is gone."""
        if not self._ended.is_set():
            self._process.send_signal(signal.SIGTERM)
        if not self.wait(timeout_s):
            self._process.kill()
            self.wait(_KILL_WAIT_S)


def spawn(
    command: Sequence[str], *, output: Path, environment: Mapping[str, str], lock: DirectoryLock, detached: bool
) -> Child:
    """Starts a program in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Unless `detached`, it ends when this process ends, even by kill -9 (on Linux; elsewhere only a clean exit ends it).

    Raises OSError when the program cannot be executed.
    """
    if not detached and sys.platform == "linux":
        command = [sys.executable, "-I", "-S", str(_SHIM), str(os.getpid()), *command]
    started, ended = threading.Event(), threading.Event()
    outcome: list[subprocess.Popen[bytes] | OSError] = []

    def own() -> None:
        try:
            with output.open("ab") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    pass_fds=[lock.descriptor],
                    start_new_session=True,
                )
            outcome.append(process)
        except OSError as error:
            outcome.append(error)
            return
        finally:
            started.set()
        process.wait()
        ended.set()

    threading.Thread(target=own, name="kafka-owner", daemon=True).start()
    started.wait()
    result = outcome[0]
    if isinstance(result, OSError):
        raise result
    return Child(result, ended)
