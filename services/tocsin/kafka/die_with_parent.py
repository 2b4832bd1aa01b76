"""Becomes another program that ends when its parent does: `python die_with_parent.py PARENT_PID PROGRAM ARGS...`.

Run as a file by `process.spawn`, never imported: between fork and exec only this small interpreter runs, so the parent
may have threads (a `preexec_fn` may deadlock then). The death signal survives the exec. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arms the signal, makes sure that the parent has not died before, and becomes the program."""
    parent_pid, program = int(sys.argv[1]), sys.argv[2]
    libc = ctypes.CDLL(None, use_errno=True)
    # SIGTERM, not SIGKILL: the broker then closes its logs and needs no recovery at the next start.
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit("the parent died first")
    os.execv(program, sys.argv[2:])  # noqa: S606 - replaces this process, no shell is wanted


if __name__ == "__main__":
    main()
