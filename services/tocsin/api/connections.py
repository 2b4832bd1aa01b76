"""What one connection may cost before it has asked for anything: a time for the header, and a number per address.

aiohttp bounds neither: half a header holds a connection for as long as an idle one may be kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections that one address may have, and seconds from a header's first byte to its last."""

    per_address: int = 256
    header_s: float = 10.0


class Connections:
    """Makes the protocol of each connection to a server: a call is what `create_server` takes."""

    def __init__(self, make: Callable[[], asyncio.Protocol], limits: Limits) -> None:
        self._make = make
        self.limits = limits
        self.open: Counter[str] = Counter()  # by address

    def __call__(self) -> asyncio.Protocol:
        return Connection(self, self._make())


class Connection(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol, and closes what is late or too much."""

    def __init__(self, all_of_them: Connections, inner: asyncio.Protocol) -> None:
        self._all = all_of_them
        self._inner = inner
        self._address = ""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._has_read = False  # since the last request began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, and refuse it when its address has enough."""
        assert isinstance(transport, asyncio.Transport), "a TCP connection"
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        if self._all.open[self._address] >= self._all.limits.per_address:
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._all.open[self._address] += 1
        self._transport = transport
        self._expect_header()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand on."""
        if self._transport is None:
            return
        self._has_read = True
        if not self._is_busy:
            self._expect_header()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self._inner.eof_received() if self._transport is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on, and count it no more."""
        self._expect_nothing()
        if self._transport is None:
            return
        self._transport = None
        self._all.open[self._address] -= 1
        self._all.open += Counter()  # drops addresses that have none
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._inner.resume_writing()

    def began(self) -> None:
        """A whole header was read, and its request is being answered."""
        self._is_busy, self._has_read = True, False
        self._expect_nothing()

    def over(self) -> None:
        """The answer is known. What came meanwhile may be the beginning of another header."""
        self._is_busy = False
        if self._has_read:
            self._expect_header()

    def _expect_header(self) -> None:
        if self._deadline is None and self._transport is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._all.limits.header_s, self._give_up)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._transport is not None and not self._transport.is_closing():
            if self._has_read:
                self._transport.write(_TOO_SLOW)
            self._transport.close()


def connection_of(request: web.Request) -> Connection | None:
    """The connection a request came on; None where nothing watches over it."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Connection) else None
