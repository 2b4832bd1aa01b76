"""Durations as users write them: `500ms`, `30s`, `5m`, `1h30m`, `2d`, `1w`."""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SHAPE = re.compile(r"(?:\d+(?:ms|[smhdw]))+", re.ASCII)
_PART = re.compile(r"(\d+)(ms|[smhdw])", re.ASCII)
MAX_MS = 10 * 366 * _UNITS["d"]


def parse_duration(value: object) -> int:
    """Parse a duration to milliseconds; a bare number counts as seconds.

    Raises ValueError, with the mend in its text, on anything that is not a duration of at most ten years.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration; try 5m")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, (int, float)):
        total = float(value) * 1_000
        if not 0 <= total <= MAX_MS:
            raise ValueError(f"{value!r} seconds is out of range; use 0 to ten years, such as 5m")
        return round(total)
    text = str(value).strip()
    if text == "0":
        return 0
    if len(text) > 40 or not _SHAPE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration; try 5m (units: ms s m h d w)")
    total_ms = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if total_ms > MAX_MS:
        raise ValueError(f"{text!r} is longer than ten years; try 5m")
    return total_ms


def format_duration(milliseconds: int) -> str:
    """Format milliseconds in the shortest exact form: 5400000 is `1h30m`, 0 is `0s`."""
    parts = []
    for unit in ("w", "d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


Duration = Annotated[
    int,
    BeforeValidator(lambda value: value if isinstance(value, _Milliseconds) else parse_duration(value)),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(ms|[smhdw]))+$", "examples": ["500ms", "30s", "5m", "1h30m"]}),
]
"""A pydantic field type: text or seconds in, milliseconds inside, text out."""


class _Milliseconds(int):
    """An amount that is in milliseconds already, for defaults."""


def milliseconds(text: str) -> int:
    """A default for a `Duration` field, written as users would."""
    return _Milliseconds(parse_duration(text))
