"""Who is on call by a schedule, at a time and over a time.

Turns change by the clock on the wall: the first handover, and every one a turn later by the calendar, each as the point
in time at which clocks first show it. What a change of clocks leaves out comes as long after midnight as it would have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from tocsin.schemas.interval import LocalSpan
from tocsin.schemas.oncall import Layer, Schedule

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_MS: Final = 1_000
_DAY: Final = timedelta(days=1)
_FARTHEST: Final = timedelta(hours=26)  # a zone that changed sides of the date line moved its clocks by a day


@dataclass(frozen=True, slots=True)
class Shift:
    """From `begin_ms` to before `end_ms` one person is on call, or nobody; `source` is an override's id, or a layer."""

    person: str | None
    begin_ms: int
    end_ms: int
    source: str = ""


class Rota:
    """A schedule, and the zone whose clocks it means."""

    def __init__(self, schedule: Schedule, zone: tzinfo) -> None:
        self.schedule: Final = schedule
        self._zone: Final = zone
        self._layers: Final = tuple(
            _Turns(layer, layer.name or f"layer {place}", zone) for place, layer in enumerate(schedule.layers, 1)
        )

    def on_call(self, at_ms: int) -> str | None:
        """The person who is on call at a time."""
        return self._at(at_ms)[0]

    def shifts(self, from_ms: int, to_ms: int) -> list[Shift]:
        """Who is on call from a time to before another, in order and without holes."""
        found: list[Shift] = []
        for begin_ms, end_ms in _spans(sorted({from_ms, *self._changes(from_ms, to_ms)}), to_ms):
            person, source = self._at(begin_ms)
            if found and (found[-1].person, found[-1].source) == (person, source):
                found[-1] = Shift(person, found[-1].begin_ms, end_ms, source)
            else:
                found.append(Shift(person, begin_ms, end_ms, source))
        return found

    def _at(self, at_ms: int) -> tuple[str | None, str]:
        for one in reversed(self.schedule.overrides):
            if one.starts_at <= at_ms < one.ends_at:
                return one.person, one.id
        local = _local(at_ms, self._zone)
        for turns in reversed(self._layers):
            if turns.holds(local) and (person := turns.person(at_ms, local)):
                return person, turns.name
        return None, ""

    def _changes(self, from_ms: int, to_ms: int) -> Iterator[int]:
        """Every time within at which somebody else may be on call."""
        times = [time for one in self.schedule.overrides for time in (one.starts_at, one.ends_at)]
        days = _days(_local(from_ms, self._zone), _local(to_ms, self._zone))
        for turns in self._layers:
            times += turns.handovers(from_ms, to_ms)
        if any(layer.hours for layer in self.schedule.layers):
            minutes = {0, *(minute for layer in self.schedule.layers for minute in _minutes(layer.hours))}
            for day in days:
                for minute in minutes:
                    local = day + timedelta(minutes=minute)
                    times += (_instant(local, self._zone), _instant(local.replace(fold=1), self._zone))
            times += _clock_changes(days, self._zone)
        return (time for time in times if from_ms < time < to_ms)


class _Turns:
    """The turns of one layer, numbered from 0."""

    def __init__(self, layer: Layer, name: str, zone: tzinfo) -> None:
        self.name: Final = name
        self._layer: Final = layer
        self._zone: Final = zone
        self._length: Final = timedelta(milliseconds=layer.rotation)
        self._around: Final = _FARTHEST // self._length + 2
        self._end_ms: Final = _instant(layer.last, zone) if layer.last is not None else None

    def holds(self, local: datetime) -> bool:
        """Whether the layer is on call at this hour at all."""
        return not self._layer.hours or any(span.holds_at(local) for span in self._layer.hours)

    def person(self, at_ms: int, local: datetime) -> str | None:
        """Whose turn it is; `local` is what clocks show then."""
        if self._end_ms is not None and at_ms >= self._end_ms:
            return None
        near = self._near(local)
        for number in range(near + self._around, max(near - self._around, 0) - 1, -1):
            if self._begin_ms(number) <= at_ms:
                return self._layer.people[number % len(self._layer.people)]
        return None

    def handovers(self, from_ms: int, to_ms: int) -> Iterator[int]:
        """When turns change between two times, and some around them."""
        first = max(self._near(_local(from_ms, self._zone)) - self._around, 0)
        last = self._near(_local(to_ms, self._zone)) + self._around
        yield from (self._begin_ms(number) for number in range(first, last + 1))
        if self._end_ms is not None:
            yield self._end_ms

    def _near(self, local: datetime) -> int:
        """The turn it would be if clocks were never changed."""
        return (local.replace(tzinfo=None) - self._layer.first) // self._length

    def _begin_ms(self, number: int) -> int:
        return _instant(self._layer.first + number * self._length, self._zone)


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(seconds=at_ms // _SECOND_MS)).astimezone(zone)


def _instant(local: datetime, zone: tzinfo) -> int:
    return round(local.replace(tzinfo=zone).timestamp()) * _SECOND_MS


def _spans(times: Sequence[int], end: int) -> Iterator[tuple[int, int]]:
    yield from zip(times, [*times[1:], end], strict=True)


def _days(first: datetime, last: datetime) -> list[datetime]:
    """Midnights by the clock on the wall, from before one time to after another."""
    day = datetime.combine(first.date(), datetime.min.time()) - _DAY
    count = (last.date() - first.date()).days + 4
    return [day + number * _DAY for number in range(count)]


def _minutes(hours: Sequence[LocalSpan]) -> Iterator[int]:
    for span in hours:
        for one in span.times:
            yield from (one.start_time, one.end_time)


def _clock_changes(days: Sequence[datetime], zone: tzinfo) -> Iterator[int]:
    """When clocks are changed within some days, to the second."""
    for low, high in pairwise(days):
        begin, end = _instant(low, zone) // _SECOND_MS, _instant(high, zone) // _SECOND_MS
        before = _offset(begin, zone)
        if _offset(end, zone) == before:
            continue
        while end - begin > 1:
            middle = (begin + end) // 2
            begin, end = (middle, end) if _offset(middle, zone) == before else (begin, middle)
        yield end * _SECOND_MS


def _offset(at_s: int, zone: tzinfo) -> timedelta | None:
    return _local(at_s * _SECOND_MS, zone).utcoffset()
