"""What a forecast has to say of an alert: what the value is now, and in how long it will be at the threshold. Pure."""

from __future__ import annotations

from typing import Final

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import format_duration

_FINE: Final = ((3_600, 60), (0, 1))  # from how many seconds on it is said to how many


def current(event: AlertEvent) -> float | None:
    """The value now, where the alert is about a later one."""
    return (event.expected or {}).get("current")


def ahead(event: AlertEvent) -> str:
    """`in 3h50m`; empty where nothing is foretold, and `at once` where it is there already."""
    seconds = (event.expected or {}).get("breach_in_s")
    if seconds is None:
        return ""
    to_s = next(to_s for from_s, to_s in _FINE if seconds >= from_s)
    rounded = round(seconds / to_s) * to_s
    return f"in {format_duration(rounded * 1_000)}" if rounded else "at once"
