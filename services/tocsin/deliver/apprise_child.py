"""A process that sends one notification by Apprise, and that can do nothing else.

Apprise's plugins open their own connections, so the guard of the other channels does not see them. Here Python's audit
hooks do: each connection is checked by the address that it goes to, after names are resolved and after redirects. No
program is started, no file is written, and nothing is taken from the environment. The parent ends it when time is up.

Standard input is a JSON object: `url`, `title`, `body`, `type` and `allowed`. The answer is one too: `sent`, `status`.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, TextIO

from tocsin.deliver.networks import Network, is_allowed

_MEMORY_BYTES = 1 << 30
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
_CONNECTIONS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn")


class Confinement:
    """The audit hook; `refused` says that it stopped something."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)
        self.refused = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raises PermissionError for what may not be."""
        if event in _CONNECTIONS and not self._may_reach(arguments):
            self.refused = "address"
        elif event in _PROGRAMS:
            self.refused = "program"
        else:
            return
        raise PermissionError(f"refused: {self.refused}")

    def _may_reach(self, arguments: tuple[Any, ...]) -> bool:
        connection, *rest = arguments
        address = rest[-1] if rest else None
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        # No address: the socket is connected already, which was checked. A name as the address is refused.
        return address is None or is_allowed(str(address[0]), self._allowed)


class _Statuses(logging.Handler):
    """What plugins say about a failure, of which only the HTTP status may go on: texts hold addresses and keys."""

    status: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take the status from a line."""
        found = _STATUS.search(record.getMessage())
        if found:
            self.status = int(found[1])


def run(source: TextIO, output: TextIO) -> None:
    """Read what is to be sent, send it, and say how that went."""
    import apprise

    wanted = json.load(source)
    statuses = _Statuses(logging.DEBUG)
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [statuses], False
    logger.setLevel(logging.DEBUG)
    channel = apprise.Apprise()
    is_known = channel.add(wanted["url"])
    confinement = Confinement([ip_network(text) for text in wanted["allowed"]])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    sys.addaudithook(confinement)
    sent = is_known and channel.notify(
        body=wanted["body"], title=wanted["title"], notify_type=wanted["type"], body_format=apprise.NotifyFormat.TEXT
    )
    answer = {"known": is_known, "sent": bool(sent), "status": statuses.status, "refused": confinement.refused}
    output.write(json.dumps(answer))
    output.flush()


if __name__ == "__main__":
    run(sys.stdin, sys.stdout)
