"""Judged values of chosen series, thinned to what a plot can show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from tocsin.charts.thinning import kept
from tocsin.engine.evaluate.judge import Describe, Judge
from tocsin.engine.evaluate.points import Course, Points
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.peaks import as_told

COLUMNS: Final = 800
_HELD: Final = 32 * COLUMNS
Key = tuple[str, tuple[tuple[str, str], ...]]
"""A rule's id, and a series' labels in order."""


@dataclass(slots=True)
class Trace:
    """Times and values, in order; under a rule that learns the values themselves, with what was expected of them."""

    at_ms: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    values: Floats = field(default_factory=lambda: np.empty(0, np.float64))
    course: Course | None = None

    @classmethod
    def of(cls, points: Points, part: slice) -> Self:
        """A part of what was judged."""
        at_ms = points.at_ms[part].copy()
        if points.course is None:
            return cls(at_ms, points.values[part].copy())
        course = Course(*(array[part].copy() for array in points.course.columns()))
        return cls(at_ms, course.values, course)

    @classmethod
    def joined(cls, parts: list[Trace]) -> Trace:
        """Parts one after the other."""
        at_ms, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("at_ms", "values"))
        courses = [part.course.columns() for part in parts if part.course]
        return Trace(at_ms, values, Course(*map(np.concatenate, zip(*courses, strict=True))) if courses else None)

    def thinned(self, begin_ms: int, end_ms: int, columns: int) -> Trace:
        """What a chart of so many columns can show."""
        chosen = kept(self.at_ms, self.values, begin_ms, end_ms, columns)
        return Trace(self.at_ms[chosen], self.values[chosen], self.course.take(chosen) if self.course else None)


class Traces:
    """Notes what is judged of the wanted series between two times."""

    def __init__(self, wanted: Collection[Key], begin_ms: int, end_ms: int) -> None:
        self._parts: dict[Key, list[Trace]] = {key: [] for key in wanted}
        self._held = dict.fromkeys(wanted, 0)
        self._rules = {rule_id for rule_id, _ in wanted}
        self._span = begin_ms, end_ms

    def watch(self, judge: Judge, points: Points, describe: Describe) -> None:
        """See `Watch`."""
        rules = [version.rule.id for version in judge.versions if version.rule.id in self._rules]
        if not rules or not len(points):
            return
        points = as_told(judge, points)
        for row, slot in enumerate(points.slots.tolist()):
            shape = tuple(sorted(describe(slot).labels.items()))
            part = slice(int(points.begins[row]), int(points.begins[row + 1]))
            for rule_id in rules:
                if (rule_id, shape) in self._parts:
                    self._add((rule_id, shape), Trace.of(points, part))

    def found(self, rule_id: str, shape: tuple[tuple[str, str], ...]) -> Trace:
        """What was noted of one series under one rule."""
        return self._thin(rule_id, shape)

    def _add(self, key: Key, part: Trace) -> None:
        self._parts[key].append(part)
        self._held[key] += len(part.at_ms)
        if self._held[key] > _HELD or len(self._parts[key]) > _HELD:
            thin = self._thin(*key)
            self._parts[key], self._held[key] = [thin], len(thin.at_ms)

    def _thin(self, rule_id: str, shape: tuple[tuple[str, str], ...]) -> Trace:
        return Trace.joined(self._parts[rule_id, shape] or [Trace()]).thinned(*self._span, COLUMNS)
