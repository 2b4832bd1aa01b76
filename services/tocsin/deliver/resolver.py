"""Names to addresses, so that a name server that hangs holds up only those who ask for its names."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from tocsin.deliver.blocking import BlockingCalls

# As many names may hang at once before others wait; the system gives one up after some 10 to 30 s.
_LOOKUPS = 16
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

AddressInfo = tuple[Any, ...]
_Query = tuple[str, int, int]


class Resolver(AbstractResolver):
    """The system's resolver on threads of its own, one for each name however many ask for it; for aiohttp, too."""

    def __init__(self) -> None:
        self._calls = BlockingCalls("resolver", _LOOKUPS)
        self._running: dict[_Query, asyncio.Task[list[AddressInfo]]] = {}

    async def lookup(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> list[AddressInfo]:
        """What `socket.getaddrinfo` gives for TCP; the caller bounds the time. Raises socket.gaierror."""
        try:
            # Text that is an address already asks nobody.
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=_NUMERIC)
        except socket.gaierror:
            query = (host, port, family)
        task = self._running.get(query)
        if task is None:
            call = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            task = self._running[query] = asyncio.create_task(self._calls.run(call))
            task.add_done_callback(partial(self._ended, query))
        return await asyncio.shield(task)

    def _ended(self, query: _Query, task: asyncio.Task[list[AddressInfo]]) -> None:
        del self._running[query]
        if not task.cancelled():
            task.exception()  # those who asked may have left

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The same in aiohttp's form."""
        return [
            ResolveResult(
                hostname=host,
                host=_with_zone(address),
                port=address[1],
                family=family_,
                proto=protocol,
                flags=_NUMERIC,
            )
            for family_, _, protocol, _, address in await self.lookup(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing to close: what still hangs is left behind."""


def _with_zone(address: tuple[Any, ...]) -> str:
    """`fe80::1%2`: without its zone a link-local address leads nowhere."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])
