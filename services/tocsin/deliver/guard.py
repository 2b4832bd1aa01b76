"""The outbound guard: channels reach the outside world, and of the inside only what the operator allows.

The check is made on the address of each connection, after names are resolved, so neither odd spellings nor a name that
changes its address get past it. The list is our own: what `ipaddress` calls global differs between Python versions, and
leaves out addresses that carry an internal one inside.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import aiohttp

from tocsin.deliver.resolver import Resolver

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DENIED: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carrier-grade NAT, and some clouds' metadata
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            # Global unicast is 2000::/3; loopback, ULA, link-local, site-local and multicast lie outside of it.
            "::/3",
            "4000::/2",
            "8000::/1",
            "2001::/23",  # protocol assignments, Teredo, ORCHID
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_COMPATIBLE = IPv6Network("::/96")


class AddressRefused(OSError):
    """A connection to an internal address that the operator has not allowed."""

    def __init__(self) -> None:
        # Always the same text: an error must not tell the sender which address or port is there.
        super().__init__(
            errno.EACCES,
            "leads to an internal address; an operator can allow its network with TOCSIN_DELIVERY__ALLOW_NETWORKS",
        )


def embedded_ipv4(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address carries and that traffic to it may end at."""
    number = int(address)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:
        return (IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF))
    if any(address in network for network in (_MAPPED, _NAT64, _COMPATIBLE)):
        return (IPv4Address(number & 0xFFFFFFFF),)
    return ()


def is_allowed(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a channel may connect to this address; a text that is no address is refused."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if _in(address, allowed):
        return True
    if isinstance(address, IPv6Address):
        inner = embedded_ipv4(address)
        if address in _MAPPED or address in _NAT64:
            # The traffic goes to the IPv4 address, so that one alone decides.
            return is_allowed(str(inner[0]), allowed)
        if any(_in(carried, DENIED) for carried in inner):
            return False
    return not _in(address, DENIED)


def _in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


class Guard:
    """Makes the connections of channels. `allowed` are internal networks that they may reach.

    Each has a resolver of its own, so that the names of one guard's channels never wait for those of another's.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._resolver = Resolver()

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
