"""Receivers that misbehave, each in a way of its own, as cheaply as can be: what they cost is not what is measured."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from tocsin.bench.receiver import LOOPBACK
from tocsin.testing.certificates import Authority

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_WELL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_DRIP_S: Final = 0.1
_HANGS, _DRIPS, _CLOSES, _EXPIRED = "hangs", "drips", "closes", "expired certificate"


def _status(line: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "Connection: close", "", ""]).encode()


# What each says before it hangs, drips or closes the connection.
ANSWERS: Final[Mapping[str, bytes]] = {
    "429": _status("429 Too Many Requests", "Retry-After: 1"),
    "500": _status("500 Internal Server Error"),
    "503": _status("503 Service Unavailable"),
    "401": _status("401 Unauthorized"),
    _HANGS: b"",
    _DRIPS: b"HTTP/1.1 200 OK\r\nX-Slow: ",
    _CLOSES: b"HTTP/1.1 2",
    _EXPIRED: _WELL,
}


@dataclass(slots=True)
class Receivers:
    """One for each way to misbehave; or as many that are `well`, and answer as they should."""

    well: bool
    ports: dict[str, int] = field(default_factory=dict)

    def url(self, way: str) -> str:
        """Where it listens."""
        return f"http{'s' if way == _EXPIRED else ''}://{LOOPBACK}:{self.ports[way]}/"

    @asynccontextmanager
    async def listening(self, authority: Authority) -> AsyncIterator[Receivers]:
        """Serve within the block."""
        async with AsyncExitStack() as stack:
            for way in ANSWERS:
                tls = authority.server(LOOPBACK, expired=not self.well) if way == _EXPIRED else None
                server = await asyncio.start_server(_Answering(way, self.well), LOOPBACK, 0, ssl=tls)
                stack.callback(server.close)
                self.ports[way] = server.sockets[0].getsockname()[1]
            yield self


@dataclass(frozen=True, slots=True)
class _Answering:
    way: str
    well: bool

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(_WELL if self.well else ANSWERS[self.way])
            while not self.well and self.way in (_HANGS, _DRIPS) and not (reader.at_eof() or writer.is_closing()):
                await asyncio.sleep(_DRIP_S)
                writer.write(b"y" if self.way == _DRIPS else b"")
            await writer.drain()
        writer.close()
