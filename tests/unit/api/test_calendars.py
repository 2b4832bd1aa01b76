"""What strangers write into names and comments does not become lines of a calendar."""

from __future__ import annotations

import icalendar
import pytest

from tocsin.api.calendars import Event, calendar

UNSEEN = ("\r", "\n", "\r\n", "\x00", "\x0b", "\x1b[2J", "\x85", "\u2028", "\u202e")


@pytest.mark.parametrize("between", UNSEEN, ids=repr)
def test_a_text_stays_in_its_place_and_is_harmless(between: str) -> None:
    text = f"Ann{between}ATTENDEE:mailto:x;y,z\\n"
    made = calendar("on call: a", [Event("u", 0, 3_600_000, text, text)], 0).decode()
    (event,) = icalendar.Calendar.from_ical(made).walk("VEVENT")
    assert sorted(event) == ["DESCRIPTION", "DTEND", "DTSTAMP", "DTSTART", "SUMMARY", "TRANSP", "UID"]
    assert str(event["SUMMARY"]).endswith("ATTENDEE:mailto:x;y,z\\n")
    assert not any(line.startswith("ATTENDEE") for line in made.splitlines())
    assert not {character for character in made if not character.isprintable()} - {"\r", "\n"}
