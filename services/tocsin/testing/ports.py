"""Ports for servers that a test starts in a while."""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

_HOST: Final = "127.0.0.1"
_MOST: Final = 100  # far more than one test asks for
_held: Final[deque[socket.socket]] = deque()


def own_port() -> int:
    """A port on which a server may listen, now or later in this test, and which nobody else is given.

    A port that is only free may be had by another test before the server is up. One that is bound is not handed out
    again, and who sets SO_REUSEADDR, as asyncio and Java do, may listen on it.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((_HOST, 0))
    _held.append(held)
    if len(_held) > _MOST:
        _held.popleft().close()
    return int(held.getsockname()[1])
