"""Times of day, week, month and year by name, in Alertmanager's form: when a route speaks, and when it is quiet.

```yaml
time_intervals:
  - name: office
    time_intervals:
      - {times: [{start_time: "09:00", end_time: "17:00"}], weekdays: ["monday:friday"], location: Europe/Berlin}
```
All fields of one entry must hold; one entry of a name is enough. An end of day is written 24:00.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from tocsin.schemas.instant import MAX_MS, format_instant, parse_instant
from tocsin.schemas.kinds import Id
from tocsin.schemas.part import Part
from tocsin.schemas.problems import Problem, Wrong

_WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_CLOCK: Final = re.compile(r"(?:([01]\d|2[0-3]):([0-5]\d))|(24):(00)", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,4}", re.ASCII)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)
_DAYS_AT_MOST: Final = 31
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Range = tuple[int, int]


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises ValueError with a text fit for users."""
    try:
        if name == "UTC" or _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # what is a directory of zones is an OSError
        pass
    raise ValueError(f"{name[:64]!r} is not a time zone; write an IANA name such as Europe/Berlin")


def local_time(at_ms: int, name: str) -> datetime:
    """A point in time as clocks in a zone show it, to the second."""
    return (_EPOCH + timedelta(seconds=at_ms // 1_000)).astimezone(zone(name))


def _ends(value: object, read: Callable[[str], int]) -> Range:
    """`a:b` or `a`, both ends included."""
    if isinstance(value, list | tuple):
        value = ":".join(map(str, value))
    first, colon, last = str(value).strip().lower().partition(":")
    begin = read(first.strip())
    return begin, read(last.strip()) if colon else begin


def _named(names: Sequence[str], offset: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text in names:
            return names.index(text) + offset
        if offset and text.isdecimal() and offset <= int(text) < len(names) + offset:
            return int(text)
        raise ValueError(f"{text[:40]!r} is not a {what}; write {names[1]}, or a range such as {names[1]}:{names[4]}")

    return read


def _number(low: int, high: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high or int(text) == 0:
            raise ValueError(f"{text[:40]!r} is not a {what}; use {low} to {high}, or a range of them such as 1:5")
        return int(text)

    return read


def _ranges(read: Callable[[str], int], check: Callable[[Range], str]) -> BeforeValidator:
    def ranges(value: object) -> tuple[Range, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list; begin each entry with a dash")  # noqa: TRY004 - pydantic wants ValueError
        found: list[Range] = []
        problems: list[Problem] = []
        for place, item in enumerate(value):
            try:
                found.append(_ends(item, read))
                if text := check(found[-1]):
                    problems.append(((place,), text))
            except ValueError as error:
                problems.append(((place,), str(error)))
        if problems:
            raise Wrong(*problems)
        return tuple(found)

    return BeforeValidator(ranges, json_schema_input_type=list[str])


def _forward(ends: Range) -> str:
    return "" if ends[0] <= ends[1] else "ends before it begins; write two entries"


def _days_forward(ends: Range) -> str:
    begin, end = ends
    if begin < 0 < end:
        return "begins from the end of the month and ends from its beginning; write two entries"
    return _forward(ends) if begin * end > 0 else ""


def _texts(names: Sequence[str], offset: int) -> PlainSerializer:
    def text(value: int) -> str:
        return names[value - offset] if names else str(value)

    def texts(found: tuple[Range, ...]) -> list[str]:
        return [text(begin) if begin == end else f"{text(begin)}:{text(end)}" for begin, end in found]

    return PlainSerializer(texts, return_type=list[str])


_Ranges = Annotated[tuple[Range, ...], Field(max_length=64)]
Weekdays = Annotated[_Ranges, _ranges(_named(_WEEKDAYS, 0, "weekday"), _forward), _texts(_WEEKDAYS, 0)]
Months = Annotated[_Ranges, _ranges(_named(_MONTHS, 1, "month"), _forward), _texts(_MONTHS, 1)]
Days = Annotated[_Ranges, _ranges(_number(-31, 31, "day of a month"), _days_forward), _texts((), 0)]
Years = Annotated[_Ranges, _ranges(_number(1, 9_999, "year"), _forward), _texts((), 0)]


def _minutes(value: object) -> int:
    found = _CLOCK.fullmatch(str(value).strip())
    if not found:
        raise ValueError(f"{str(value)[:40]!r} is not a time of day; write it in quotes, from 00:00 to 24:00")
    hours, minutes = int(found[1] or found[3]), int(found[2] or found[4])
    return hours * 60 + minutes


Clock = Annotated[
    int,
    BeforeValidator(_minutes, json_schema_input_type=str),
    PlainSerializer(lambda minutes: f"{minutes // 60:02}:{minutes % 60:02}", return_type=str),
]


def _zone_name(value: object) -> str:
    return str(zone(str(value)).key)


ZoneName = Annotated[str, BeforeValidator(_zone_name)]
Instant = Annotated[
    int,
    BeforeValidator(lambda value: value if isinstance(value, int) else parse_instant(str(value))),
    PlainSerializer(format_instant, return_type=str),
    Field(ge=0, le=MAX_MS),
]
"""A pydantic field type: RFC 3339 or epoch milliseconds in, milliseconds inside, RFC 3339 out."""


class TimeRange(Part):
    """From `start_time` to before `end_time`, in minutes of the day."""

    start_time: Clock
    end_time: Clock

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.start_time >= self.end_time:
            raise Wrong((("end_time",), "must be after start_time; write what crosses midnight as two entries"))
        return self


class LocalSpan(Part):
    """One entry, by clocks of a place that is known from elsewhere: every field that is given must hold."""

    times: tuple[TimeRange, ...] = Field(default=(), max_length=64)
    weekdays: Weekdays = ()
    days_of_month: Days = ()
    months: Months = ()
    years: Years = ()

    def holds_at(self, now: datetime) -> bool:
        """Whether it is within it when clocks there show this."""
        minute, weekday = now.hour * 60 + now.minute, now.isoweekday() % 7
        return (
            (not self.times or any(one.start_time <= minute < one.end_time for one in self.times))
            and (not self.days_of_month or any(_holds_day(ends, now) for ends in self.days_of_month))
            and _within(self.weekdays, weekday)
            and _within(self.months, now.month)
            and _within(self.years, now.year)
        )


class TimeSpan(LocalSpan):
    """One entry, and whose clocks count."""

    location: ZoneName = "UTC"

    def holds(self, at_ms: int) -> bool:
        """Whether a point in time is within it."""
        return self.holds_at(local_time(at_ms, self.location))


class TimeInterval(Part):
    """Entries under a name."""

    name: Id
    time_intervals: tuple[TimeSpan, ...] = Field(min_length=1, max_length=64)

    def holds(self, at_ms: int) -> bool:
        """Whether a point in time is within one of its entries."""
        return any(span.holds(at_ms) for span in self.time_intervals)


def _within(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(begin <= value <= end for begin, end in ranges)


def _holds_day(ends: Range, now: datetime) -> bool:
    """Negative days count from the end of the month; what lies outside this month is cut off."""
    last = monthrange(now.year, now.month)[1]
    begin, end = (last + day + 1 if day < 0 else day for day in ends)
    return max(begin, 1) <= now.day <= min(end, last)


def jsonable(intervals: Sequence[TimeInterval]) -> list[dict[str, Any]]:
    """Intervals as users write them, without what was not said."""
    return [one.model_dump(mode="json", exclude_defaults=True) for one in intervals]
