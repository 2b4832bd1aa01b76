"""The outbound guard: channels reach the outside world, and of the inside only what the operator allows.

The check is made on the address of each connection, after names are resolved, so neither odd spellings nor a name that
changes its address get past it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp

from tocsin.deliver.networks import Network, is_allowed
from tocsin.deliver.resolver import Resolver


class AddressRefused(OSError):
    """A connection to an internal address that the operator has not allowed."""

    def __init__(self) -> None:
        # Always the same text: an error must not tell the sender which address or port is there.
        super().__init__(
            errno.EACCES,
            "leads to an internal address; an operator can allow its network with TOCSIN_DELIVERY__ALLOW_NETWORKS",
        )


class Guard:
    """Makes the connections of channels. `allowed` are internal networks that they may reach.

    Each has a resolver of its own, so that the names of one guard's channels never wait for those of another's.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._resolver = Resolver()

    @property
    def allowed(self) -> tuple[Network, ...]:
        """The internal networks that may be reached."""
        return self._allowed

    def check(self, address: str) -> None:
        """Raises AddressRefused."""
        if not is_allowed(address, self._allowed):
            raise AddressRefused

    def socket_factory(self, info: tuple[Any, ...]) -> socket.socket:
        """For aiohttp, which asks for a socket once it knows the address."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket to the first address of the host that answers; the caller bounds the time.

        Raises AddressRefused if all addresses are internal, else the last error.
        """
        failure: OSError = OSError(errno.EHOSTUNREACH, "has no address")
        for info in await self._resolver.lookup(host, port):
            try:
                return await self._connect(info)
            except OSError as error:
                failure = error
        raise failure

    async def _connect(self, info: tuple[Any, ...]) -> socket.socket:
        connection = self.socket_factory(info)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, info[4])
        except BaseException:
            connection.close()
            raise
        return connection

    def session(self) -> aiohttp.ClientSession:
        """An HTTP session whose connections pass the guard.

        No proxies, cookies or decompression; one connection a request, so that none is found stale. How many run at
        once is each channel's own bound: a common one would let a hanging receiver hold up the others.
        """
        connector = aiohttp.TCPConnector(
            socket_factory=self.socket_factory,
            resolver=self._resolver,
            limit=0,
            force_close=True,
            use_dns_cache=False,
        )
        return aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "tocsin", "Accept-Encoding": "identity"},
        )
