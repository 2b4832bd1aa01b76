"""The outbound guard: what channels may not reach, however it is written."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest

from tocsin.deliver.guard import AddressRefused, Guard
from tocsin.deliver.networks import is_allowed

_INTERNAL = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::10.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:7f00:1
64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 100::1 2001::1 2001:0:7f00:1:: 2001:10::1
2001:20::1 2001:0:808:808:0:0:80ff:fffe 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 3fff::1 4000::1 5f00::1
8000::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
"""
_OUTSIDE = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450::1 3ffe::1
"""
INTERNAL, OUTSIDE = _INTERNAL.split(), _OUTSIDE.split()


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses_are_refused(address: str) -> None:
    assert not is_allowed(address)
    with pytest.raises(AddressRefused):
        Guard().check(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_the_outside_is_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.1", "2130706433", "[::1]", "1.1.1.1 ", "1.1.1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert not is_allowed(text)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1"])
def test_an_allowed_network_is_reached_in_each_spelling(address: str) -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd12::/16"))
    assert is_allowed(address, allowed)
    assert not is_allowed("10.2.0.1", allowed)
    assert not is_allowed("2002:a02:1::", allowed)


async def test_the_sockets_of_smtp_pass_the_guard_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressRefused):
                await Guard().connect(host, port)
        with await Guard([ip_network("127.0.0.0/8")]).connect("127.0.0.1", port) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


def test_the_refusal_tells_nothing_of_the_address() -> None:
    texts = set()
    for address in INTERNAL:
        with pytest.raises(AddressRefused) as caught:
            Guard().check(address)
        texts.add(caught.value.strerror)
    assert texts == {
        "leads to an internal address; an operator can allow its network with TOCSIN_DELIVERY__ALLOW_NETWORKS"
    }
