"""Cron expressions: their times are those that a look at every minute finds."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from dateutil.rrule import rruleset, rrulestr
from hypothesis import given
from hypothesis import strategies as st

from tocsin.schemas.cron import cron_rules

BEGIN = datetime(2027, 2, 26)  # noqa: DTZ001 - by a clock on the wall
MINUTES = 6 * 24 * 60


def times(text: str, begin: datetime = BEGIN, minutes: int = MINUTES) -> list[datetime]:
    found = rruleset()
    for rule in cron_rules(text):
        found.rrule(rrulestr(rule, dtstart=begin))
    between: list[datetime] = found.between(begin, begin + timedelta(minutes=minutes - 1), inc=True)
    return between


def of(low: int, high: int) -> st.SearchStrategy[set[int] | None]:
    return st.none() | st.sets(st.integers(low, high), min_size=1, max_size=3)


@given(of(0, 59), of(0, 23), of(1, 31), of(1, 12), of(0, 6))
def test_times_are_those_of_every_minute_that_fits(
    minutes: set[int] | None,
    hours: set[int] | None,
    days: set[int] | None,
    months: set[int] | None,
    weekdays: set[int] | None,
) -> None:
    fields = (minutes, hours, days, months, weekdays)
    text = " ".join("*" if one is None else ",".join(map(str, one)) for one in fields)

    def fits(now: datetime) -> bool:
        day = days is None or now.day in days
        weekday = weekdays is None or now.isoweekday() % 7 in weekdays
        is_day = (day or weekday) if days is not None and weekdays is not None else day and weekday
        others = ((minutes, now.minute), (hours, now.hour), (months, now.month))
        return is_day and all(wanted is None or value in wanted for wanted, value in others)

    every = (BEGIN + timedelta(minutes=minute) for minute in range(MINUTES))
    assert times(text) == [now for now in every if fits(now)]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@weekly", "0 0 * * 0"),
        ("0 2 * * sun", "0 2 * * 7"),
        ("0 2 * * fri-sun", "0 2 * * 0,5,6"),
        ("0 2 * * fri-mon", "0 2 * * 0,1,5,6"),
        ("0 2 * * sat-wed/2", "0 2 * * 1,3,6"),
        ("*/20 9-10 * * mon-fri", "0,20,40 9,10 * * 1,2,3,4,5"),
        ("5/25 0 * mar *", "5,30,55 0 * 3 *"),
        ("0 0 */2 * 1-5", "0 0 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 * 1-5"),
    ],
)
def test_other_ways_to_write_it(text: str, same: str) -> None:
    found = times(text)
    assert found
    wanted = times(same)
    if "*/2 " in text:  # a field that begins with a star restricts the other one, a list of days does not
        wanted = [now for now in wanted if now.day % 2 and now.isoweekday() < 6]
    assert found == wanted


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("0 2 * *", "is not a cron expression"),
        ("60 2 * * *", "is not a minute; use 0 to 59"),
        ("0 2 0 * *", "is not a day of the month"),
        ("0 22-3 * * *", "is not a hour"),
        ("*/0 * * * *", "is not a minute"),
        ("0 2 L * *", "is not a day of the month"),
        ("@reboot", "is not a cron expression"),
    ],
)
def test_what_is_none_is_named(text: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend):
        cron_rules(text.lower())
