"""A silence: alerts that nobody is told about for a time, once or again and again (a maintenance window)."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Self

from dateutil.rrule import rrulebase, rruleset, rrulestr
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.cron import cron_rules
from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.instant import MAX_MS as LAST_MS
from tocsin.schemas.interval import Instant, ZoneName, local_time, zone
from tocsin.schemas.kinds import Id
from tocsin.schemas.matcher import Matcher
from tocsin.schemas.problems import Problem, Wrong
from tocsin.schemas.rule import MOST_MATCHERS, Matchers

MAX_MS: Final = 366 * 86_400_000
_DAY_MS: Final = 86_400_000
_LEAST_REMINDER_MS: Final = milliseconds("1m")
# Coarser than these, so that a year's windows are few, and finding the next one is cheap.
_FREQUENCIES: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_TOO_OFTEN: Final = ("SECONDLY", "MINUTELY", "HOURLY")
_RULE: Final = re.compile(r"[A-Za-z0-9=;,+-]{1,500}", re.ASCII)
_FREQUENCY: Final = re.compile(r"(?:^|;)FREQ=([A-Z]+)(?:;|$)")
_PARTS: Final = (
    "FREQ",
    "INTERVAL",
    "COUNT",
    "WKST",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYHOUR",
    "BYMINUTE",
    "BYSETPOS",
)
_MOST_TRIED: Final = 5_000
# The calendar repeats itself after 400 years, weekdays included. dateutil looks for the next time up to the year 9999,
# which takes it 44 s for a rule that has none; moved as near to that year as a silence may last, 1 s.
_CYCLE_YEARS: Final = 400
_LAST_YEAR: Final = 9_999 - 50
_CHANGING: Final = ("severity", "category")  # what an alert may be told with next time
Window = tuple[int, int]
"""[begin, end) in epoch milliseconds."""


def _recurrence(value: object) -> str:
    text = str(value).strip().upper().removeprefix("RRULE:")
    found = _FREQUENCY.search(text)
    if not _RULE.fullmatch(text) or not found:
        raise ValueError(f"{text[:60]!r} is not a recurrence rule; write it like FREQ=WEEKLY;BYDAY=SU;BYHOUR=2")
    if found[1] not in _FREQUENCIES:
        wrong = "is too often" if found[1] in _TOO_OFTEN else "is not a frequency"
        raise ValueError(f"FREQ={found[1][:20]} {wrong}; use one of {', '.join(_FREQUENCIES)}")
    unknown = [part for part in (piece.partition("=")[0] for piece in text.split(";")) if part not in _PARTS]
    if unknown or (found[1] == "DAILY" and "BYSETPOS" in text):
        raise ValueError(f"{(unknown or ['BYSETPOS'])[0][:20]!r} is not possible here; starts_at and ends_at bound it")
    try:
        rrulestr(text, dtstart=datetime(2000, 1, 1))  # noqa: DTZ001 - of a clock on the wall
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{text[:60]!r} is not a recurrence rule: {error}; see RFC 5545") from None
    return text


def _cron(value: object) -> str:
    text = str(value).strip().lower()
    cron_rules(text[:500])
    return text


class Recurrence(BaseModel):
    """Windows of one length, at times by a clock on the wall of `location`, the first at the silence's `starts_at`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rrule: Annotated[str, BeforeValidator(_recurrence)] | None = Field(default=None, description="RFC 5545")
    cron: Annotated[str, BeforeValidator(_cron)] | None = Field(default=None, description="minute, hour, day, ...")
    duration: Duration
    location: ZoneName = "UTC"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        problems: list[Problem] = []
        if self.rrule is None and self.cron is None:
            problems.append((("rrule",), "is missing; write FREQ=WEEKLY;BYDAY=SU;BYHOUR=2, or a cron: 0 2 * * sun"))
        if self.rrule is not None and self.cron is not None:
            problems.append((("cron",), "does not go with rrule; remove one"))
        if not 0 < self.duration <= 31 * _DAY_MS:
            problems.append((("duration",), "must be longer than zero and at most 31d"))
        if problems:
            raise Wrong(*problems)
        return self

    def first_ms(self, now_ms: int) -> int:
        """Where it begins unless that is said: `BYHOUR=2` means two o'clock, not as many minutes past it as now."""
        if self.rrule is None or ("BYHOUR" not in self.rrule and "BYMINUTE" not in self.rrule):
            return now_ms
        local = local_time(now_ms, self.location)
        return (now_ms // 1_000 - local.minute * 60 - local.second) * 1_000

    def windows(self, first_ms: int, from_ms: int, limit: int, to_ms: int) -> list[Window]:
        """The windows that are not over at a time and begin before another, at most `limit`, in order.

        A time that a change of clocks leaves out is taken to be as long after midnight as it would have been.
        """
        first = local_time(first_ms, self.location).replace(tzinfo=None)
        moved = (_LAST_YEAR - first.year) // _CYCLE_YEARS * _CYCLE_YEARS
        # A day more than it takes: clocks may have been changed in between.
        after = local_time(max(from_ms - self.duration - _DAY_MS, 0), self.location).replace(tzinfo=None)
        if after.year + moved > _LAST_YEAR:
            return []
        found: list[Window] = []
        after = after.replace(year=after.year + moved)
        rule = self._rule(first.replace(year=first.year + moved), after)
        for tried, moment in enumerate(rule.xafter(after, inc=True)):
            local = moment.replace(year=moment.year - moved, tzinfo=zone(self.location))
            begin_ms = round(local.timestamp() * 1_000)
            if begin_ms >= to_ms + _DAY_MS:
                break
            if begin_ms < to_ms and begin_ms + self.duration > from_ms and begin_ms >= first_ms // 1_000 * 1_000:
                found.append((begin_ms, begin_ms + self.duration))
            if len(found) >= limit or tried > _MOST_TRIED:
                break
        return found

    def _rule(self, first: datetime, after: datetime) -> rrulebase:
        """Its times by a clock on the wall. Those of cron do not depend on the first one, so they are not counted from
        there: every minute of ten years would be."""
        if self.rrule is not None:
            return rrulestr(self.rrule, dtstart=first)
        found = rruleset()
        for text in cron_rules(self.cron or ""):
            found.rrule(rrulestr(text, dtstart=max(first, after - timedelta(days=1))))
        return found


class Reminder(BaseModel):
    """That a silence ends soon, while there is time to prolong it: an alert of its own, `tocsin_silence_ending`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: Duration
    notifications: tuple[Id, ...] = Field(default=(), max_length=64, description="channels; those of the routes")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not _LEAST_REMINDER_MS <= self.before <= 31 * _DAY_MS:
            raise Wrong((("before",), "must be from 1m to 31d before the end; try 30m"))
        return self


class Silence(BaseModel):
    """Which alerts, when, by whom and why. Without `schedule` it is in force from `starts_at` to `ends_at`.

    `ends_with_alert` leaves out alerts that fire after `starts_at`: it is over for each alert when that is over.
    `reminder` is for `ends_at`, not for the end of each window.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    id: Id
    match: Matchers = Field(min_length=1)
    starts_at: Instant
    ends_at: Instant
    schedule: Recurrence | None = None
    ends_with_alert: bool = False
    reminder: Reminder | None = None
    created_by: str = Field(default="", max_length=256)
    comment: str = Field(default="", max_length=4_096)

    @model_validator(mode="after")
    def _sane(self) -> Self:
        problems: list[Problem] = []
        if self.ends_at < self.starts_at:
            problems.append((("ends_at",), "lies before starts_at; correct one of them"))
        if self.schedule is None and self.ends_at - self.starts_at > MAX_MS:
            problems.append((("ends_at",), "is over a year away; end it sooner, or change the rule"))
        if all(matcher.matches({}) for matcher in self.match):
            problems.append((("match",), "would match an alert without any labels; add a matcher that names a value"))
        if self.schedule and self.ends_with_alert:
            problems.append((("ends_with_alert",), "does not go with a schedule; remove one"))
        if problems:
            raise Wrong(*problems)
        return self

    def windows(self, from_ms: int, limit: int = 1, to_ms: int = LAST_MS) -> list[Window]:
        """When it is in force, from a time on, at most so many windows, which begin before `to_ms`."""
        end_ms = min(self.ends_at, to_ms)
        if self.schedule is None:
            is_in_time = max(self.starts_at, from_ms) < self.ends_at and self.starts_at < to_ms
            return [(self.starts_at, self.ends_at)] if is_in_time else []
        if from_ms >= self.ends_at:
            return []
        found = self.schedule.windows(self.starts_at, from_ms, limit, end_ms)
        return [(begin, min(end, self.ends_at)) for begin, end in found]

    def state(self, at_ms: int) -> str:
        """`active`, `pending` or `expired`."""
        found = self.windows(at_ms)
        if not found:
            return "expired"
        return "active" if found[0][0] <= at_ms else "pending"

    @property
    def reminds_ms(self) -> int:
        """When somebody is to be reminded of its end."""
        return self.ends_at - self.reminder.before if self.reminder else self.ends_at

    def reminds(self, at_ms: int) -> bool:
        """Whether somebody is to know that it ends soon."""
        return self.reminds_ms <= at_ms < self.ends_at

    def document(self) -> dict[str, Any]:
        """As users write it."""
        return self.model_dump(mode="json")


def matchers_for(alert: AlertEvent) -> tuple[Matcher, ...]:
    """For just this alert, whatever its severity; none where it has more labels than a silence takes."""
    labels = {name: value for name, value in routing_labels(alert).items() if name not in _CHANGING}
    return tuple(Matcher(name, "=", value) for name, value in labels.items()) if len(labels) <= MOST_MATCHERS else ()
