"""Silences: when they are in force, and what is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from dateutil.rrule import rrulestr
from pydantic import ValidationError

from tocsin.schemas.codec import decode_document, encode_document
from tocsin.schemas.instant import MAX_MS as LAST_MS
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.schemas.problems import field_errors
from tocsin.schemas.silence import Recurrence, Silence

BASE = {"id": "s", "match": ["service=api"], "starts_at": "2026-10-01T01:30:00Z", "ends_at": "2026-12-01T00:00:00Z"}


def windows(silence: Silence, begin: str, limit: int, end: str = "9000-01-01T00:00:00Z") -> list[tuple[str, str]]:
    found = silence.windows(parse_instant(begin), limit, parse_instant(end))
    return [(format_instant(begin_ms)[:16], format_instant(end_ms)[:16]) for begin_ms, end_ms in found]


def test_once() -> None:
    silence = Silence.model_validate(BASE)
    assert windows(silence, "2026-11-01T00:00:00Z", 3) == [("2026-10-01T01:30", "2026-12-01T00:00")]
    assert silence.state(parse_instant("2026-09-30T00:00:00Z")) == "pending"
    assert silence.state(silence.starts_at) == "active"
    assert silence.state(silence.ends_at) == "expired"


def test_every_sunday_by_the_clock_of_a_place_through_the_end_of_summer_time() -> None:
    schedule = {"rrule": "RRULE:FREQ=WEEKLY;BYDAY=SU", "duration": "2h", "location": "Europe/Berlin"}
    silence = Silence.model_validate({**BASE, "schedule": schedule})
    assert windows(silence, "2026-10-12T00:00:00Z", 3) == [
        ("2026-10-18T01:30", "2026-10-18T03:30"),
        ("2026-10-25T02:30", "2026-10-25T04:30"),
        ("2026-11-01T02:30", "2026-11-01T04:30"),
    ]
    assert silence.state(parse_instant("2026-10-18T03:29:59Z")) == "active"
    assert silence.state(parse_instant("2026-10-18T03:30:00Z")) == "pending"


def test_the_last_window_is_cut_at_the_end_and_those_before_the_beginning_are_none() -> None:
    schedule = {"rrule": "FREQ=DAILY", "duration": "20h"}
    silence = Silence.model_validate({**BASE, "ends_at": "2026-10-02T03:00:00Z", "schedule": schedule})
    assert windows(silence, "2026-09-01T00:00:00Z", 9) == [
        ("2026-10-01T01:30", "2026-10-01T21:30"),
        ("2026-10-02T01:30", "2026-10-02T03:00"),
    ]


def test_what_begins_later_than_is_asked_for_is_left_out() -> None:
    daily = Silence.model_validate({**BASE, "schedule": {"rrule": "FREQ=DAILY", "duration": "20h"}})
    assert windows(daily, "2026-10-05T00:00:00Z", 9, "2026-10-06T01:30:00Z") == [
        ("2026-10-05T01:30", "2026-10-05T21:30"),
    ]
    assert windows(Silence.model_validate(BASE), "2026-09-01T00:00:00Z", 9, "2026-10-01T01:30:00Z") == []


def test_it_comes_back_from_its_topic_as_it_was() -> None:
    schedule = {"rrule": "FREQ=DAILY", "duration": "20h", "location": "Europe/Berlin"}
    silence = Silence.model_validate({**BASE, "schedule": schedule})
    assert decode_document(Silence, encode_document(silence), "s") == silence


@pytest.mark.parametrize(
    "rule", ["FREQ=DAILY;INTERVAL=3", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"]
)
def test_windows_begin_when_the_rule_says_so_in_every_year(rule: str) -> None:
    first = datetime(2024, 1, 1, 1, 30)  # noqa: DTZ001 - as dateutil counts
    wanted = rrulestr(rule, dtstart=first).xafter(first, count=40, inc=True)
    changes = {"starts_at": "2024-01-01T01:30:00Z", "ends_at": "2300-01-01T00:00:00Z"}
    silence = Silence.model_validate({**BASE, **changes, "schedule": {"rrule": rule, "duration": "1h"}})
    found = [begin for begin, _ in windows(silence, "2024-01-01T00:00:00Z", 40)]
    assert found == [f"{moment:%Y-%m-%dT%H:%M}" for moment in wanted]


def test_a_rule_without_any_time_has_no_windows() -> None:
    schedule = {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "duration": "1h"}
    silence = Silence.model_validate({**BASE, "ends_at": "2100-01-01T00:00:00Z", "schedule": schedule})
    assert silence.state(silence.starts_at) == "expired"


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"match": ["service=~.*"]}, "match", "would match an alert without any labels"),
        ({"match": []}, "match", "has too few entries"),
        ({"match": ["service=~["]}, "match.0", "is not a regular expression"),
        ({"ends_at": "2026-09-01T00:00:00Z"}, "ends_at", "lies before starts_at"),
        ({"ends_at": "9999-01-01T00:00:00Z"}, "ends_at", "is over a year away"),
        ({"schedule": {"rrule": "FREQ=SECONDLY", "duration": "1h"}}, "schedule.rrule", "is too often"),
        (
            {"schedule": {"rrule": "FREQ=FOO", "duration": "1h"}},
            "schedule.rrule",
            "FREQ=FOO is not a frequency; use one of DAILY, WEEKLY, MONTHLY, YEARLY",
        ),
        ({"schedule": {"rrule": "FREQ=DAILY;BYSECOND=1,2,3", "duration": "1h"}}, "schedule.rrule", "is not possible"),
        ({"schedule": {"rrule": "sometimes", "duration": "1h"}}, "schedule.rrule", "is not a recurrence rule"),
        (
            {"schedule": {"rrule": "FREQ=DAILY;BYDAY=XX", "duration": "1h"}},
            "schedule.rrule",
            "is not a recurrence rule",
        ),
        ({"schedule": {"rrule": "FREQ=DAILY", "duration": "0s"}}, "schedule.duration", "must be longer than zero"),
        (
            {"schedule": {"rrule": "FREQ=DAILY", "duration": "1h"}, "ends_with_alert": True},
            "ends_with_alert",
            "schedule",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(change: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Silence.model_validate({**BASE, **change})
    (found,) = field_errors(raised.value, Silence)
    assert found.field == field
    assert text in found.message


@pytest.mark.parametrize(
    ("rrule", "expected"),
    [
        ("FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "2026-11-28T20:30:00.000Z"),
        ("FREQ=DAILY;BYHOUR=2;BYMINUTE=15", "2026-11-24T20:45:00.000Z"),
        ("FREQ=DAILY;BYMINUTE=15", "2026-11-25T07:45:00.000Z"),
        ("FREQ=DAILY", "2026-11-25T07:47:06.789Z"),
    ],
)
def test_an_hour_that_is_named_is_a_whole_one_by_the_clock_of_its_place(rrule: str, expected: str) -> None:
    now_ms = parse_instant("2026-11-24T07:47:06.789Z")
    schedule = {"rrule": rrule, "duration": "1h", "location": "Asia/Kolkata"}
    found = Recurrence.model_validate(schedule)
    begin_ms = found.windows(found.first_ms(now_ms), now_ms + 3_600_000, 1, LAST_MS)[0][0]
    assert format_instant(begin_ms)[:19] == expected[:19]
