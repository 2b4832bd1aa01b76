"""How a service tells its supervisor that it is ready: one line on the descriptor named by `TOCSIN_READY_FD`."""

import os

VARIABLE = "TOCSIN_READY_FD"


def announce_ready() -> None:
    """Write the line once; without a supervisor, do nothing."""
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor.isdigit():
        os.write(int(descriptor), b"ready\n")
        os.close(int(descriptor))
