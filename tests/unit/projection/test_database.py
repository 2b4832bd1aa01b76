"""Addresses of databases that no database would answer to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.failures import ExitCode, as_failure
from tocsin.projection.database import DatabaseAddressError, DatabaseError, opened


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:canary@h:abc/db", "not an address that is known; write postgresql://USER:PASSWORD@HOST:PORT/"),
        ("postgresql://u:canary@127.0.0.1:99999/db", "not an address that is known"),
        ("postgresql://u:canary@[::1/db", "not an address that is known"),
        ("postgresql://u:canary@127.0.0.1:1/db?sslmod=require", "'sslmod' is not a parameter of the driver; remove it"),
        ("mysql://u:canary@h/db", "not an address that is known"),
    ],
)
async def test_a_wrong_address_is_wrong_usage_and_told_without_its_password(
    url: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseAddressError) as caught:
        async with opened(url, tmp_path):
            pass
    assert str(caught.value).startswith(f"database.url: {said}")
    assert "canary" not in str(caught.value)
    failure = as_failure(caught.value)
    assert failure is not None
    assert failure.code is ExitCode.USAGE


async def test_an_sslmode_as_postgresql_writes_it_is_taken_and_an_absent_server_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be used") as caught:
        async with opened("postgresql://u:canary@127.0.0.1:1/db?sslmode=disable", tmp_path):
            pass
    failure = as_failure(caught.value)
    assert failure is not None
    assert failure.code is ExitCode.UNREACHABLE
