"""Does what a user does: `make run`, wait until it is ready, Ctrl-C; again; then `make demo`.

Nothing may be left, and no error may be logged where nothing is wrong.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tocsin.kafka.ports import free_ports

ROUNDS = (("run", 120.0), ("run", 60.0), ("demo", 60.0))
STOP_S = 30.0
QUIET_S = 12.0
COMPLAIN_S = 5.0  # Faust's setting: after how long it complains of a stream that looks idle, instead of five minutes
POLL_S = 0.1


def main() -> None:
    """Runs all rounds in one data directory: each finds what the one before left."""
    # A shell that runs this in the background has SIGINT ignored, and children inherit that; a handler they do not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="tocsin-smoke-") as folder:
        for number, (target, ready_s) in enumerate(ROUNDS, 1):
            one_round(number, target, Path(folder), ready_s)


def one_round(number: int, target: str, data_dir: Path, ready_s: float) -> None:
    """One `make run` or `make demo` with its own terminal, so that Ctrl-C reaches it the way it reaches a user's."""
    (port,) = free_ports(1)
    log = data_dir.with_name(f"{data_dir.name}-{number}.log")
    controller, terminal = pty.openpty()
    arguments = f"ARGS=--data-dir {data_dir} --port {port}"
    began = time.monotonic()
    with log.open("wb") as output:
        make = subprocess.Popen(
            # A session with the terminal as its own: what Ctrl-C there sends, it gets.
            ["setsid", "--ctty", "make", "--no-print-directory", target, arguments],
            stdin=terminal,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"STREAM_PROCESSING_TIMEOUT": str(COMPLAIN_S), "TOCSIN_LOG_FORMAT": "json"},
        )
    os.close(terminal)
    try:
        wait_until_ready(make, port, ready_s)
        print(f"make {target}: ready after {time.monotonic() - began:.1f} s")
        time.sleep(QUIET_S)
        if errors := [line for line in log.read_text("utf-8", "replace").splitlines() if '"level": "error"' in line]:
            raise SmokeError(f"{len(errors)} errors logged while nothing was wrong, such as {errors[0]}")
        family = [psutil.Process(make.pid), *psutil.Process(make.pid).children(recursive=True)]
        began = time.monotonic()
        os.write(controller, b"\x03")
        make.wait(STOP_S)
        _, left = psutil.wait_procs(family, timeout=STOP_S)
        if left:
            raise SmokeError(f"left behind after Ctrl-C: {[process.cmdline() for process in left]}")
        print(f"make {target}: {len(family)} processes ended {time.monotonic() - began:.1f} s after Ctrl-C")
    except (SmokeError, subprocess.TimeoutExpired) as error:
        print(log.read_text("utf-8", "replace"))
        sys.exit(f"smoke: {error}")
    finally:
        os.close(controller)
        end_family(make)
        log.unlink()


def wait_until_ready(make: subprocess.Popen[bytes], port: int, ready_s: float) -> None:
    """Asks `/readyz` until it says yes."""
    deadline = time.monotonic() + ready_s
    seen = "no answer"
    while time.monotonic() < deadline:
        if make.poll() is not None:
            raise SmokeError(f"`make` ended with status {make.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except urllib.error.HTTPError as error:
            seen = f"{error.code} {error.read(2000).decode('utf-8', 'replace')}"
        except OSError as error:
            seen = str(error)
        time.sleep(POLL_S)
    raise SmokeError(f"not ready within {ready_s:.0f} s: {seen}")


def end_family(make: subprocess.Popen[bytes]) -> None:
    """Leaves nothing running when a round failed."""
    if make.poll() is None:
        family = [psutil.Process(make.pid), *psutil.Process(make.pid).children(recursive=True)]
        for process in family:
            process.terminate()
        for process in psutil.wait_procs(family, timeout=STOP_S)[1]:
            process.kill()
        make.wait()


class SmokeError(Exception):
    """What a user would have complained of."""


if __name__ == "__main__":
    main()
