"""Time intervals hold when a calendar says so."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dateutil import tz
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tocsin.schemas.interval import TimeInterval, TimeSpan
from tocsin.schemas.problems import field_errors

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _pair(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(lambda ends: (min(ends), max(ends)))


spans = st.fixed_dictionaries(
    {"location": st.sampled_from(ZONES)},
    optional={
        "times": st.lists(_pair(0, 1_440).filter(lambda ends: ends[0] < ends[1]), min_size=1, max_size=2),
        "weekdays": st.lists(_pair(0, 6), min_size=1, max_size=2),
        "days_of_month": st.lists(_pair(1, 31) | _pair(-31, -1), min_size=1, max_size=2),
        "months": st.lists(_pair(1, 12), min_size=1, max_size=2),
        "years": st.lists(_pair(1_999, 2_040), min_size=1, max_size=2),
    },
)


def _written(span: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {
        name: [f"{begin}:{end}" for begin, end in ranges] for name, ranges in span.items() if name != "location"
    }
    if "times" in span:
        clock = [f"{minute // 60:02}:{minute % 60:02}" for ends in span["times"] for minute in ends]
        pairs = zip(clock[::2], clock[1::2], strict=True)
        written["times"] = [{"start_time": begin, "end_time": end} for begin, end in pairs]
    if "weekdays" in span:
        written["weekdays"] = [f"{DAYS[begin]}:{DAYS[end]}" for begin, end in span["weekdays"]]
    return {**written, "location": span["location"]}


def _holds(span: dict[str, Any], moment: datetime) -> bool:
    """From another library's clock, day by day."""
    local = moment.astimezone(tz.gettz(span["location"]))
    last = monthrange(local.year, local.month)[1]
    days = set()
    for begin, end in span.get("days_of_month", [(1, 31)]):
        days |= {day for day in range(1, last + 1) if begin <= (day if begin > 0 else day - last - 1) <= end}
    return (
        any(begin <= local.hour * 60 + local.minute < end for begin, end in span.get("times", [(0, 1_440)]))
        and any(DAYS[local.isoweekday() % 7] in DAYS[begin : end + 1] for begin, end in span.get("weekdays", [(0, 6)]))
        and local.day in days
        and any(local.month in range(begin, end + 1) for begin, end in span.get("months", [(1, 12)]))
        and any(local.year in range(begin, end + 1) for begin, end in span.get("years", [(1, 9_999)]))
    )


@settings(max_examples=500)
@given(spans, st.lists(st.integers(946_684_800, 2_145_916_800), min_size=20, max_size=20))
def test_a_span_holds_when_the_calendar_says_so(span: dict[str, Any], seconds: list[int]) -> None:
    made = TimeSpan.model_validate(_written(span))
    again = TimeSpan.model_validate(made.model_dump(mode="json"))
    assert again == made
    for second in seconds:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        assert made.holds(second * 1_000) == _holds(span, moment)


@pytest.mark.parametrize(
    ("given_", "field", "text"),
    [
        ({"times": [{"start_time": "23:60", "end_time": "24:00"}]}, "times.0.start_time", "is not a time of day"),
        ({"times": [{"start_time": "9:00", "end_time": "17:00"}]}, "times.0.start_time", "from 00:00 to 24:00"),
        ({"times": [{"start_time": "17:00", "end_time": "09:00"}]}, "times.0.end_time", "crosses midnight"),
        ({"weekdays": ["monday:someday"]}, "weekdays.0", "'someday' is not a weekday"),
        ({"weekdays": ["friday:monday"]}, "weekdays.0", "ends before it begins"),
        ({"days_of_month": ["0"]}, "days_of_month.0", "'0' is not a day of a month"),
        ({"days_of_month": ["-3:2"]}, "days_of_month.0", "write two entries"),
        ({"months": ["13"]}, "months.0", "'13' is not a month"),
        ({"location": "Mars/Olympus"}, "location", "'Mars/Olympus' is not a time zone"),
        ({"location": "../../etc/passwd"}, "location", "is not a time zone"),
        ({"location": "Europe"}, "location", "is not a time zone"),
    ],
)
def test_a_mistake_is_named_with_its_place(given_: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TimeInterval.model_validate({"name": "n", "time_intervals": [given_]})
    (found,) = field_errors(raised.value, TimeInterval)
    assert found.field == f"time_intervals.0.{field}"
    assert text in found.message
