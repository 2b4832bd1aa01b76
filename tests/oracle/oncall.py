"""Who is on call, slowly: every quarter of an hour by itself, on clocks that are read off and never calculated."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

QUARTER = timedelta(minutes=15)
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
Who = tuple[str | None, str]


@cache
def clock(name: str) -> dict[datetime, datetime]:
    """When clocks in a zone first show a time, for every quarter of an hour of the year."""
    shown: dict[datetime, datetime] = {}
    now, zone = BEGIN, ZoneInfo(name)
    while now < END:
        shown.setdefault(now.astimezone(zone).replace(tzinfo=None), now)
        now += QUARTER
    return shown


def first_shown(local: datetime, name: str) -> datetime:
    """When clocks first show a time, or, if they never do, when those that nobody changed would have."""
    quarters = 0
    while local not in clock(name):
        local, quarters = local - QUARTER, quarters + 1
    return clock(name)[local] + quarters * QUARTER


def on_call(schedule: Mapping[str, Any], now: datetime) -> Who:
    """The person, and the override or the layer that says so."""
    holding = [one for one in schedule["overrides"] if one["starts_at"] <= now < one["ends_at"]]
    if holding:
        return holding[-1]["person"], holding[-1]["id"]
    who: Who = (None, "")
    for number, layer in enumerate(schedule["layers"], 1):
        person = turn(layer, schedule["time_zone"], now)
        if person is not None:
            who = person, f"layer {number}"
    return who


def turn(layer: Mapping[str, Any], name: str, now: datetime) -> str | None:
    """Whose turn it is: of the turns that have begun, that which was to begin last on the calendar."""
    local = now.astimezone(ZoneInfo(name))
    if not any(begin <= local.hour * 60 + local.minute < end and local.strftime("%A").lower() in days
               for begin, end, days in layer["hours"]) and layer["hours"]:  # fmt: skip
        return None
    if layer["ends"] and now >= first_shown(_handover(layer, layer["ends"]), name):
        return None
    begin, whose, found = _handover(layer, layer["starts"]), 0, None
    while begin < local.replace(tzinfo=None) + timedelta(days=2):
        if first_shown(begin, name) <= now:
            found = layer["people"][whose % len(layer["people"])]
        begin, whose = begin + layer["rotation"], whose + 1
    return found


def _handover(layer: Mapping[str, Any], day: date) -> datetime:
    return datetime.combine(day, time(layer["handover"] // 60, layer["handover"] % 60))


def shifts(schedule: Mapping[str, Any], begin: datetime, quarters: int) -> list[tuple[Who, datetime, datetime]]:
    """Every quarter of an hour, joined while it is the same person for the same reason."""
    found: list[tuple[Who, datetime, datetime]] = []
    for number in range(quarters):
        now = begin + number * QUARTER
        who = on_call(schedule, now)
        if found and found[-1][0] == who:
            found[-1] = (who, found[-1][1], now + QUARTER)
        else:
            found.append((who, now, now + QUARTER))
    return found
