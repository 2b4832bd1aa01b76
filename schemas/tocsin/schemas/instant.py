"""Points in time: epoch milliseconds inside tocsin, RFC 3339 with milliseconds outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
MAX_MS = 253_402_300_799_999  # the last millisecond of year 9999
MIN_MS = -62_135_596_800_000  # the first of year 1
InstantMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
"""Epoch milliseconds in a record: what lies outside cannot be written as a time, so the record is refused."""
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A number in a record that is kept in tables: msgpack holds 64 bits, JSON any number of digits."""


@lru_cache(maxsize=1_024)  # what happens together is told with the same times
def format_instant(at_ms: int) -> str:
    """Format epoch milliseconds as `2026-11-23T10:00:00.000Z`."""
    return (_EPOCH + at_ms * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> int:
    """Parse an RFC 3339 time to epoch milliseconds; a time without an offset is refused.

    Raises ValueError with a text fit for users.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an RFC 3339 time; write it like 2026-11-23T10:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; end it with Z or an offset like +01:00")
    return (moment - _EPOCH) // _MILLISECOND
