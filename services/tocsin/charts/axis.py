"""Where the marks of an axis stand, and what they say."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_STEPS: Final = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, _SECOND, 2 * _SECOND, 5 * _SECOND, 10 * _SECOND, 15 * _SECOND, 30 * _SECOND,
    _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR,
    12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 56 * _DAY, 91 * _DAY, 182 * _DAY, 364 * _DAY,
)  # fmt: skip
_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def time_marks(begin_ms: int, end_ms: int, most: int) -> list[tuple[int, str]]:
    """About `most` round times (UTC) between two, each with its text: the day where it begins, else the time."""
    span = max(end_ms - begin_ms, 1)
    step = next((step for step in _STEPS if span / step <= most), _STEPS[-1] * math.ceil(span / most / _STEPS[-1]))
    first = -(-begin_ms // step) * step
    return [(at_ms, _time_text(at_ms, step)) for at_ms in range(first, end_ms + 1, step)]


def _time_text(at_ms: int, step: int) -> str:
    moment = moment_of(at_ms)
    if step >= 91 * _DAY:
        return f"{moment:%b %Y}"
    if step >= _DAY or at_ms % _DAY == 0:
        return f"{moment.day} {moment:%b}"
    if step >= _MINUTE:
        return f"{moment:%H:%M}"
    return f"{moment:%H:%M:%S}" if step >= _SECOND else f"{moment:%S}.{at_ms % 1_000:03d}"


def moment_of(at_ms: int) -> datetime:
    """Epoch milliseconds as a time in UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def time_range(begin_ms: int, end_ms: int) -> str:
    """`1 Apr 2014 00:00 to 14 Apr 2014 23:55 UTC`, the day once if it is one."""
    begin, end = moment_of(begin_ms), moment_of(end_ms)
    clock = "%H:%M" if end_ms - begin_ms >= 10 * _MINUTE else "%H:%M:%S"
    last = f"{end:{clock}}" if begin.date() == end.date() else f"{end.day} {end:%b %Y} {end:{clock}}"
    return f"{begin.day} {begin:%b %Y} {begin:{clock}} to {last} UTC"


def value_range(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis that shows all from low to high with some room; from 0 where that is near."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    bottom, top = low - room, high + room
    if 0 <= low <= 0.5 * high:
        bottom = 0.0
    if 0 >= high >= 0.5 * low:
        top = 0.0
    return max(bottom, -1.7e308), min(top, 1.7e308)


def value_marks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round values between two."""
    span = high / most - low / most
    if not math.isfinite(span) or span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = next((factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= span), 10 * power)
    if not step or abs(low / step) > 2**52:
        return [low]
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def value_text(value: float) -> str:
    """A short number: 1200000 is `1.2M`, 0.25 is itself."""
    if abs(value) < 1e-12:
        return "0"
    for size, prefix in _PREFIXES:
        if size <= abs(value) < size * 1e3 and abs(value) >= 1e4:
            return f"{value / size:.4g}{prefix}"
    return f"{value:.5g}"
