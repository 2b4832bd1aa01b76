"""TCP ports on the loopback address."""

from __future__ import annotations

import contextlib
import errno
import socket


def free_ports(count: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """Ports that nobody listens on now; all are held until the last is found, so they differ."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((host, 0))
        return tuple(int(probe.getsockname()[1]) for probe in probes)


def is_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on the port, or it may not be had for another reason.

    Raises OSError when the host is none of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the broker does; else the remains of connections to a broker that has just stopped would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
        return False
