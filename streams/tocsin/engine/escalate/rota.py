"""Who is on call by a schedule, at a time and over a time.

Turns change by the clock on the wall: the first handover, and every one a turn later by the calendar, each as the point
in time at which clocks first show it. What a change of clocks leaves out comes as long after midnight as it would have.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import pairwise
from typing import Final

from tocsin.schemas.interval import LocalSpan
from tocsin.schemas.oncall import Layer, Schedule

MOST_CHANGES: Final = 5_000  # of which a preview takes a second or two
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_MS: Final = 1_000
_DAY: Final = timedelta(days=1)
_DAY_MS: Final = 86_400_000
_AROUND_DAYS: Final = (2, 16, 400)
_FARTHEST: Final = timedelta(hours=26)  # a zone that changed sides of the date line moved its clocks by a day


@dataclass(frozen=True, slots=True)
class Shift:
    """From `begin_ms` to before `end_ms` one person is on call, or nobody; `source` is an override's id, or a layer."""

    person: str | None
    begin_ms: int
    end_ms: int
    source: str = ""


Who = Callable[[int], tuple[str | None, str]]
"""Who is on call at a time, and by which layer or override."""


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

    def shift(self, at_ms: int) -> Shift:
        """Who is on call at a time, since when and until when, as far as it is looked for: up to 400 days around."""
        found: Shift | None = None
        for days in _AROUND_DAYS:
            begin_ms, end_ms = max(at_ms - days * _DAY_MS, 0), at_ms + days * _DAY_MS
            if found is not None and self.size(begin_ms, end_ms) > MOST_CHANGES:
                break
            found = next(one for one in self.shifts(begin_ms, end_ms) if one.begin_ms <= at_ms < one.end_ms)
            if found.begin_ms > begin_ms and found.end_ms < end_ms:
                break
        assert found is not None
        return found

    def relief(self, at_ms: int) -> Shift | None:
        """The first shift after a time that is not that of the person who is on call then: another's, or nobody's. None
        where none comes, as far as it is looked for; whether its end is the real one is not."""
        for days in _AROUND_DAYS:
            end_ms = at_ms + days * _DAY_MS
            if days != _AROUND_DAYS[0] and self.size(at_ms, end_ms) > MOST_CHANGES:
                break
            now, *later = self.shifts(at_ms, end_ms)
            if found := next((one for one in later if one.person != now.person), None):
                return found
        return None

    def shifts(self, from_ms: int, to_ms: int) -> list[Shift]:
        """Who is on call from a time to before another, in order and without holes."""
        ends = [time for one in self.schedule.overrides for time in (one.starts_at, one.ends_at)]
        return _joined((*ends, *self._changes(self._layers, from_ms, to_ms)), from_ms, to_ms, self._at)

    def layers(self, from_ms: int, to_ms: int) -> list[tuple[str, list[Shift]]]:
        """The same for each layer by itself, under its name."""
        return [
            (turns.name, _joined(self._changes((turns,), from_ms, to_ms), from_ms, to_ms, partial(self._turn, turns)))
            for turns in self._layers
        ]

    def size(self, from_ms: int, to_ms: int) -> int:
        """About how many handovers, and ends of hours, there are between two times."""
        handovers = sum((to_ms - from_ms) // layer.rotation + 2 for layer in self.schedule.layers)
        minutes = sum(1 for layer in self.schedule.layers for _ in _minutes(layer.hours))
        days = (to_ms - from_ms) // _DAY_MS + 2 if any(layer.hours for layer in self.schedule.layers) else 0
        return handovers + (minutes + 1) * days

    def _at(self, at_ms: int) -> tuple[str | None, str]:
        for one in reversed(self.schedule.overrides):
            if one.starts_at <= at_ms < one.ends_at:
                return one.person, one.id
        for turns in reversed(self._layers):
            found = self._turn(turns, at_ms)
            if found[0]:
                return found
        return None, ""

    def _turn(self, turns: "_Turns", at_ms: int) -> tuple[str | None, str]:
        local = _local(at_ms, self._zone)
        person = turns.person(at_ms, local) if turns.holds(local) else None
        return person, turns.name if person else ""

    def _changes(self, layers: Sequence["_Turns"], from_ms: int, to_ms: int) -> Iterator[int]:
        """Every time within at which somebody else may be on call by some layers."""
        for turns in layers:
            yield from turns.handovers(from_ms, to_ms)
        if any(turns.hours for turns in layers):
            days = _days(_local(from_ms, self._zone), _local(to_ms, self._zone))
            minutes = {0, *(minute for turns in layers for minute in _minutes(turns.hours))}
            for day in days:
                for minute in minutes:
                    local = day + timedelta(minutes=minute)
                    yield from (_instant(local, self._zone), _instant(local.replace(fold=1), self._zone))
            yield from _clock_changes(days, self._zone)


class _Turns:
    """The turns of one layer, numbered from 0."""

    def __init__(self, layer: Layer, name: str, zone: tzinfo) -> None:
        self.name: Final = name
        self.hours: Final = layer.hours
        self._layer: Final = layer
        self._zone: Final = zone
        self._length: Final = timedelta(milliseconds=layer.rotation)
        self._around: Final = _FARTHEST // self._length + 2
        self._end_ms: Final = _instant(layer.last, zone) if layer.last is not None else None

    def holds(self, local: datetime) -> bool:
        """Whether the layer is on call at this hour at all."""
        return not self.hours or any(span.holds_at(local) for span in self.hours)

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


def _joined(times: Iterable[int], from_ms: int, to_ms: int, who: Who) -> list[Shift]:
    """Shifts between two times, cut where somebody else comes; `times` are all at which that may be."""
    found: list[Shift] = []
    cuts = sorted({from_ms, *(time for time in times if from_ms < time < to_ms)})
    for begin_ms, end_ms in pairwise((*cuts, to_ms)):
        person, source = who(begin_ms)
        if found and (found[-1].person, found[-1].source) == (person, source):
            found[-1] = Shift(person, found[-1].begin_ms, end_ms, source)
        else:
            found.append(Shift(person, begin_ms, end_ms, source))
    return found


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
