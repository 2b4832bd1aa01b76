"""People, and schedules that say which of them is on call when.

```yaml
people:
  - {id: anna, name: Anna, contacts: [anna-mail, {channel: anna-phone, min_severity: critical}]}
schedules:
  - id: primary
    time_zone: Europe/Berlin
    layers:
      - {people: [anna, ben], rotation: weekly, starts: 2026-01-05, handover: "09:00"}
```
"""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from tocsin.schemas.duration import Duration, milliseconds, parse_duration
from tocsin.schemas.interval import Clock, Instant, LocalSpan, ZoneName
from tocsin.schemas.kinds import Id, Severity
from tocsin.schemas.labels import stable_id
from tocsin.schemas.problems import Problem, Wrong

MAX_OVERRIDES: Final = 1_000
_WORDS: Final = {"hourly": "1h", "daily": "1d", "weekly": "1w"}
_HOUR_MS: Final = 3_600_000
_LONGEST_MS: Final = 366 * 24 * _HOUR_MS
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_YEARS: Final = (1970, 9_000)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Contact(_Part):
    """A channel that reaches a person, for alerts at least so bad."""

    channel: Id
    min_severity: Severity | None = Field(default=None, description="only for alerts at least so bad")


def by_channel(value: Any) -> Any:
    """What names a channel alone, at length."""
    return {"channel": value} if isinstance(value, str) else value


ContactField = Annotated[Contact, BeforeValidator(by_channel, json_schema_input_type=Contact | str)]


class Person(_Part):
    """Somebody who can be on call, and the channels that reach them."""

    id: Id
    name: str = Field(default="", max_length=256)
    contacts: tuple[ContactField, ...] = Field(min_length=1, max_length=32, description="channel ids")

    def channels(self, severity: Severity) -> list[str]:
        """The channels that are for alerts of a severity."""
        return [one.channel for one in self.contacts if severity.reaches(one.min_severity)]

    def document(self) -> dict[str, Any]:
        """As users write it."""
        return self.model_dump(mode="json")


def _rotation(value: object) -> object:
    try:
        length = parse_duration(_WORDS.get(value, value) if isinstance(value, str) else value)
    except ValueError:
        raise ValueError(f"{value!r} is not a length of turns; write daily, weekly, or a length such as 12h") from None
    if not _HOUR_MS <= length <= _LONGEST_MS or length % 60_000:
        raise ValueError(f"{value!r} must be whole minutes, at least 1h and at most a year; try daily or weekly")
    return milliseconds(f"{length}ms")


def _day(value: object) -> object:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise ValueError("must be a date; write it like 2026-01-05")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, str):
        try:
            if not _DATE.fullmatch(value):
                raise ValueError
            value = date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{str(value)[:40]!r} is not a date; write it like 2026-01-05") from None
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        raise ValueError(f"{value.isoformat()} lies outside the years {_YEARS[0]} to {_YEARS[1]}")
    return value


Day = Annotated[
    date, BeforeValidator(_day, json_schema_input_type=str), PlainSerializer(date.isoformat, return_type=str)
]


class Layer(_Part):
    """People who take turns, one at a time, in this order; the first one's first turn begins on `starts`.

    Turns change by the clock on the wall: a day on which clocks are changed is an hour longer or shorter.
    """

    name: str = Field(default="", max_length=256)
    people: tuple[Id, ...] = Field(min_length=1, max_length=200)
    rotation: Annotated[Duration, BeforeValidator(_rotation, json_schema_input_type=str)] = Field(
        default=cast("Any", "weekly"), description="length of a turn: daily, weekly, or such as 12h"
    )
    starts: Day = Field(description="the day of the first handover")
    ends: Day | None = Field(default=None, description="the day of the last one, after which nobody follows")
    handover: Clock = Field(default=cast("Any", "09:00"), description="the time of day at which turns change")
    hours: tuple[LocalSpan, ...] = Field(default=(), max_length=64, description="only then is this layer on call")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.ends is not None and self.ends <= self.starts:
            raise Wrong((("ends",), "must lie after starts; correct one of them"))
        return self

    @property
    def first(self) -> datetime:
        """When the first turn begins, by the clock on the wall."""
        return datetime.combine(self.starts, datetime.min.time()) + timedelta(minutes=self.handover)

    @property
    def last(self) -> datetime | None:
        """When the last turn ends."""
        if self.ends is None:
            return None
        return datetime.combine(self.ends, datetime.min.time()) + timedelta(minutes=self.handover)


def _override_id(given: dict[str, Any]) -> str:
    return stable_id(*(str(given.get(name)) for name in ("person", "starts_at", "ends_at")))[:12]


class Override(_Part):
    """Somebody else is on call for a time, whatever the layers say."""

    person: Id
    starts_at: Instant
    ends_at: Instant
    comment: str = Field(default="", max_length=1_024)
    id: Id = Field(default_factory=_override_id, description="made of the rest unless given")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise Wrong((("ends_at",), "must lie after starts_at; correct one of them"))
        return self


class Schedule(_Part):
    """Who is on call. Later layers stand over earlier ones, and overrides over all of them; of overrides the last."""

    id: Id
    name: str = Field(default="", max_length=256)
    time_zone: ZoneName = Field(default="UTC", description="whose clocks count, such as Europe/Berlin")
    layers: tuple[Layer, ...] = Field(min_length=1, max_length=32)
    overrides: tuple[Override, ...] = Field(default=(), max_length=MAX_OVERRIDES)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        problems: list[Problem] = []
        known: set[str] = set()
        for place, one in enumerate(self.overrides):
            if one.id in known:
                problems.append((("overrides", place, "id"), f"{one.id!r} stands there twice; remove one"))
            known.add(one.id)
        if problems:
            raise Wrong(*problems)
        return self

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody in it."""
        named = [person for layer in self.layers for person in layer.people]
        return tuple(dict.fromkeys([*named, *(one.person for one in self.overrides)]))

    def document(self) -> dict[str, Any]:
        """As users write it."""
        return self.model_dump(mode="json")
