"""Shifts, and windows of silences, as iCalendar (RFC 5545), for the calendars of people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tocsin.deliver.text import one_line, visible
from tocsin.engine.escalate.rota import Shift
from tocsin.schemas.labels import stable_id
from tocsin.schemas.oncall import Schedule

TYPE: Final = "text/calendar"


@dataclass(frozen=True, slots=True)
class Event:
    """From `begin_ms` to before `end_ms`. Its `uid` is a function of what it is and of when it begins, so that a
    calendar that reads it again moves the end of what it knows."""

    uid: str
    begin_ms: int
    end_ms: int
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A shift, whose it is, and by which schedule."""

    schedule: Schedule
    shift: Shift
    person_name: str

    def event(self) -> Event:
        """The shift in a calendar."""
        schedule, shift = self.schedule, self.shift
        return Event(
            uid=stable_id("shift", schedule.id, shift.person or "", shift.begin_ms),
            begin_ms=shift.begin_ms,
            end_ms=shift.end_ms,
            summary=f"{self.person_name} on call: {schedule.name or schedule.id}",
            description=f"schedule {schedule.id}, by {shift.source}",
        )


def calendar(name: str, events: Iterable[Event], now_ms: int) -> bytes:
    """A calendar under a name; times are in UTC, which calendars show by their own clocks."""
    import icalendar  # late: few ask for it

    made = icalendar.Calendar()
    made.add("prodid", "-//tocsin//tocsin//EN")
    made.add("version", "2.0")
    made.add("method", "PUBLISH")
    made.add("x-wr-calname", name)
    for one in events:
        event = icalendar.Event()
        event.add("uid", f"{one.uid}@tocsin")
        event.add("dtstamp", _moment(now_ms))
        event.add("dtstart", _moment(one.begin_ms))
        event.add("dtend", _moment(one.end_ms))
        event.add("summary", one_line(one.summary))
        event.add("description", visible(one.description))
        event.add("transp", "TRANSPARENT")
        made.add_component(event)
    found: bytes = made.to_ical()
    return found


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1_000, UTC)
