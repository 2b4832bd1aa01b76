"""Which addresses channels may reach: the outside world, and of the inside only what the operator allows. Pure.

The list is our own: what `ipaddress` calls global differs between Python versions, and leaves out addresses that carry
an internal one inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

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
