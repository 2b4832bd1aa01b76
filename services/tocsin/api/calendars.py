"""Shifts as iCalendar (RFC 5545), for the calendars of people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tocsin.engine.escalate.rota import Shift
from tocsin.schemas.labels import stable_id
from tocsin.schemas.oncall import Schedule


@dataclass(frozen=True, slots=True)
class Entry:
    """A shift, whose it is, and by which schedule."""

    schedule: Schedule
    shift: Shift
    person_name: str


def calendar(name: str, entries: Iterable[Entry], now_ms: int) -> bytes:
    """A calendar under a name. An event's UID is a function of schedule, person and beginning, so that a calendar that
    reads it again moves the end of what it knows; times are in UTC, which calendars show by their own clocks."""
    import icalendar  # late: few ask for it

    made = icalendar.Calendar()
    made.add("prodid", "-//tocsin//on call//EN")
    made.add("version", "2.0")
    made.add("method", "PUBLISH")
    made.add("x-wr-calname", f"on call: {name}")
    for entry in entries:
        schedule, shift, event = entry.schedule, entry.shift, icalendar.Event()
        event.add("uid", f"{stable_id('shift', schedule.id, shift.person or '', shift.begin_ms)}@tocsin")
        event.add("dtstamp", _moment(now_ms))
        event.add("dtstart", _moment(shift.begin_ms))
        event.add("dtend", _moment(shift.end_ms))
        event.add("summary", f"{entry.person_name} on call: {schedule.name or schedule.id}")
        event.add("description", f"schedule {schedule.id}, by {shift.source}")
        event.add("transp", "TRANSPARENT")
        made.add_component(event)
    found: bytes = made.to_ical()
    return found


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1_000, UTC)
