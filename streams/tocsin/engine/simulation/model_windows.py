"""Windows by their definitions: every sample is kept, and each window is made from all of them. Slow, and obvious."""

import operator
from collections.abc import Callable, Iterator
from typing import Final

from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule

Judged = tuple[int, float]  # time at which a value is judged, value
Point = tuple[int, float]
COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


_AGGREGATES: Final[dict[str, Callable[[list[float]], float]]] = {
    "avg": lambda values: sum(values) / len(values),
    "sum": sum,
    "count": lambda values: float(len(values)),
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "min": min,
    "max": max,
}


def aggregate(name: str, points: list[Point]) -> float:
    """An aggregation by its definition; points need not be in order."""
    return _AGGREGATES[name]([value for _, value in sorted(points, key=operator.itemgetter(0))])


class Window:
    """What a rule judges of one series. Without a window: each sample that is no older than the one before."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.points: list[Point] = []
        self.newest_ms = -1

    def take(self, at_ms: int, value: float) -> Iterator[Judged]:
        """A sample, in the order in which it counts; what can be judged because of it."""
        if at_ms >= self.newest_ms:
            self.newest_ms = at_ms
            yield from self.judged(at_ms, value)

    def judged(self, at_ms: int, value: float) -> Iterator[Judged]:
        """As `take`, without samples that came too late."""
        yield at_ms, value

    def quiet(self) -> Iterator[Judged]:
        """Nothing has come for long: whatever is open closes."""
        yield from ()

    def answer(self, points: list[Point]) -> float:
        """The rule's aggregation."""
        return aggregate(self.rule.aggregation or "avg", points)


class Panes(Window):
    """Tumbling and hopping: windows that end at multiples of the hop."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        assert rule.window is not None
        self.size, self.hop = rule.window.length_ms, rule.window.hop_ms
        self.open = self.began = -1  # begin of the open hop; time of the earliest sample

    def take(self, at_ms: int, value: float) -> Iterator[Judged]:
        """A sample older than the open hop is late; a later one closes windows."""
        begins = at_ms - at_ms % self.hop
        if self.open < 0:
            self.open, self.began = begins, at_ms
        if begins < self.open:
            return
        self.began = min(self.began, at_ms)
        while self.open < begins:
            yield from self._close()
        self.points.append((at_ms, value))

    def _close(self) -> Iterator[Judged]:
        end = self.open + self.hop
        inside = [point for point in self.points if end - self.size <= point[0] < end]
        is_full = self.began <= end - self.size
        if inside and (is_full or not self.rule.require_full_window):
            yield end, self.answer(inside)
        self.open = end

    def quiet(self) -> Iterator[Judged]:
        """Every window that holds a sample closes."""
        while any(at_ms >= self.open + self.hop - self.size for at_ms, _ in self.points):
            yield from self._close()


class Sliding(Window):
    """A window ends at every sample: (at - size, at]."""

    def judged(self, at_ms: int, value: float) -> Iterator[Judged]:
        """See Window."""
        assert self.rule.window is not None
        self.points.append((at_ms, value))
        yield at_ms, self.answer([point for point in self.points if point[0] > at_ms - self.rule.window.length_ms])


class Count(Window):
    """So many samples, then so many more."""

    def judged(self, at_ms: int, value: float) -> Iterator[Judged]:
        """See Window."""
        assert self.rule.window is not None
        self.points.append((at_ms, value))
        if len(self.points) == self.rule.window.samples:
            yield at_ms, self.answer(self.points)
            self.points = []


class Session(Window):
    """Until nothing came for the gap; judged at its last sample plus the gap."""

    def judged(self, at_ms: int, value: float) -> Iterator[Judged]:
        """See Window."""
        assert self.rule.window is not None
        if self.points and at_ms - self.points[-1][0] > self.rule.window.length_ms:
            yield from self.quiet()
        self.points.append((at_ms, value))

    def quiet(self) -> Iterator[Judged]:
        """See Window."""
        assert self.rule.window is not None
        if self.points:
            yield self.points[-1][0] + self.rule.window.length_ms, self.answer(self.points)
        self.points = []


class Absence(Window):
    """Judged is 0 at every sample; that the series is missed is said by silence."""

    is_gone = False

    def judged(self, at_ms: int, value: float) -> Iterator[Judged]:  # noqa: ARG002 - that it came is all
        """See Window."""
        self.is_gone = False
        yield at_ms, 0.0

    def missed(self) -> Iterator[Judged]:
        """Nothing came for as long as a series may be silent."""
        assert self.rule.absence is not None
        assert self.rule.absence.after is not None
        if self.newest_ms >= 0 and not self.is_gone:
            self.is_gone = True
            yield self.newest_ms + self.rule.absence.after, 1.0


_KINDS: Final[dict[str, type[Window]]] = {
    "tumbling": Panes,
    "hopping": Panes,
    "sliding": Sliding,
    "count": Count,
    "session": Session,
}


def window_of(rule: Rule) -> Window:
    """The window of a rule, for one series."""
    if rule.condition == "absence":
        return Absence(rule)
    return _KINDS[rule.window.type](rule) if rule.window else Window(rule)


def begins(rule: Rule, step: Level, value: float) -> bool:
    """Whether a value meets the condition of a level."""
    if rule.condition in ("absence", "anomaly"):
        return value > 0
    if rule.condition == "range":
        assert step.lower is not None
        assert step.upper is not None
        return (step.lower <= value <= step.upper) == rule.inside
    assert step.threshold is not None
    return COMPARE[rule.operator](value, step.threshold)


def ends(rule: Rule, step: Level, value: float) -> bool:
    """Whether a value ends an alert of a level."""
    if step.recovery_threshold is None or rule.condition not in ("threshold", "baseline"):
        return not begins(rule, step, value)
    return not COMPARE[rule.operator](value, step.recovery_threshold)
