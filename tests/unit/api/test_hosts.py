"""Names in `Host`: a page whose own name was pointed at this API gets nothing."""

from __future__ import annotations

import pytest

from tocsin.api.hosts import Hosts
from tocsin.schemas.settings import ApiSettings

LOCAL = ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "localhost.", "[::1]:8080", "127.0.0.1", "10.0.0.7:8080"]


@pytest.mark.parametrize("header", [None, *LOCAL])
@pytest.mark.parametrize(
    "settings",
    [
        ApiSettings(),
        ApiSettings(host="localhost"),
        ApiSettings(host="::1"),
        ApiSettings(host="0.0.0.0"),
        ApiSettings(host="0.0.0.0", allowed_hosts=("tocsin.example.com",)),
    ],
    ids=repr,
)
def test_addresses_and_loopback_names_always_count(settings: ApiSettings, header: str | None) -> None:
    assert Hosts(settings).accept(header)


@pytest.mark.parametrize(
    "header", ["evil.example:8080", "localhost.evil.example", "evil.example", "", "127.0.0.1.evil.example", "[evil]"]
)
def test_other_names_do_not_on_loopback(header: str) -> None:
    assert not Hosts(ApiSettings()).accept(header)
    assert not Hosts(ApiSettings(host="0.0.0.0", allowed_hosts=("tocsin.example.com",))).accept(header)


def test_every_name_counts_on_an_open_address_unless_names_are_set() -> None:
    assert Hosts(ApiSettings(host="0.0.0.0")).accept("tocsin.example.com")
    assert Hosts(ApiSettings(host="::")).accept("tocsin.example.com:8080")


def test_configured_names_count() -> None:
    hosts = Hosts(ApiSettings.model_validate({"host": "monitor.example.com", "allowed_hosts": "Tocsin.example.com, b"}))
    for header in ("monitor.example.com:8080", "tocsin.example.com", "TOCSIN.example.com:443", "b"):
        assert hosts.accept(header)
    assert not hosts.accept("c")
