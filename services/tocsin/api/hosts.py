"""Which names this API answers to.

A page from elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding), and its scripts then pass for ours; what
they cannot do is send another name than their own in `Host`.
"""

from __future__ import annotations

import ipaddress

from tocsin.schemas.settings import ApiSettings

_LOOPBACK = "localhost"


class Hosts:
    """Addresses and loopback names always count: no foreign page has one. Others as configured.

    On an address that others can reach, and with nothing configured, every name counts: it has names we do not know.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._names = {_LOOPBACK, _plain(settings.host), *(_plain(name) for name in settings.allowed_hosts)}
        self._takes_all = not settings.allowed_hosts and not _is_loopback(settings.host)

    def accept(self, header: str | None) -> bool:
        """Whether a `Host` header names this API; browsers always send one."""
        if header is None or self._takes_all:
            return True
        name = _plain(_without_port(header.strip()))
        return name in self._names or _address(name) is not None


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0]


def _plain(name: str) -> str:
    return name.strip().strip("[]").rstrip(".").lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(_plain(host))
    return address.is_loopback if address is not None else _plain(host) == _LOOPBACK
