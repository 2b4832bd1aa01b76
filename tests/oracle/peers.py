"""How far members of a group are from their peers, one by one and by the definitions: slow, and meant to be obvious."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from tocsin.schemas.learning import Anomaly

MOST = 1e9  # scales
FORTNIGHT_MS = 14 * 86_400_000


@dataclass
class Habit:
    """What is known of one member."""

    age: int = 0
    distance: float = 0.0
    multiple: float = 1.0
    distance_error: float = 0.0
    multiple_error: float = 0.0
    error: float = 0.0
    moved_ms: float = -math.inf
    strange: int = 0
    since_ms: int = 0
    strange_distance: float = 0.0
    strange_multiple: float = 0.0

    @property
    def by_multiple(self) -> bool:
        return self.age >= 30 and self.multiple > 0.1 and self.multiple_error < 0.95 * self.distance_error


class Group:
    """One group, window by window. No window is looked at that is not given, and rarity plays no part."""

    def __init__(self, settings: Anomaly, hop_ms: int) -> None:
        self.settings, self.hop_ms = settings, hop_ms
        self.habits: dict[Any, Habit] = {}

    def window(self, at_ms: int, values: Mapping[Any, float]) -> dict[Any, float]:
        """The judged distance of each member that has a value; of none in a group that is too small."""
        if len(values) < self.settings.min_members:
            return {}
        for name in values:
            self.habits.setdefault(name, Habit())
        own = self.settings.own_offset
        middle = {name: median(_others(values, name)) for name in values}
        levelled = {name: self._levelled(name, value) for name, value in values.items()}
        place = {name: self._place(name, median(_others(levelled, name))) if own else middle[name] for name in values}
        found = {}
        scales = {}
        for name, value in values.items():
            scale = scales[name] = self._scale(name, values, place, middle[name])
            may_return = at_ms - self.habits[name].moved_ms < FORTNIGHT_MS
            low, high = sorted((place[name], middle[name] if may_return else place[name]))
            beyond = max(value - high, 0) - max(low - value, 0)
            found[name] = max(-MOST, min(beyond / scale, MOST))
        for name, value in values.items():
            self._learn(name, at_ms, value, middle[name], place[name], scales[name], abs(found[name]))
        return {name: self._judged(values[name], place[name], size) for name, size in found.items()}

    def _judged(self, value: float, place: float, distance: float) -> float:
        settings = self.settings
        is_far = abs(value - place) >= max(settings.min_deviation, abs(place) * settings.min_deviation_percent / 100)
        side = {"both": True, "above": value > place, "below": value < place}[settings.direction]
        return abs(distance) if is_far and side else 0.0

    def _levelled(self, name: Any, value: float) -> float:
        habit = self.habits[name]
        return value / habit.multiple if habit.by_multiple else value - habit.distance

    def _place(self, name: Any, level: float) -> float:
        habit = self.habits[name]
        return level * habit.multiple if habit.by_multiple else level + habit.distance

    def _scale(self, name: Any, values: Mapping[Any, float], place: Mapping[Any, float], middle: float) -> float:
        usual = {one: 1.2533 * self.habits[one].error for one in values}
        rest = {one: abs(values[one] - place[one]) for one in values}
        least = max(0.001 * abs(middle), 2.2250738585072014e-308)
        few = 1.4826 * (len(values) - 1) / (len(values) - 1 - 0.8)
        if self.settings.own_offset and self.habits[name].age >= 30:
            known = {one: self._usual(one, values, usual) for one in values}
            turmoil = few * median(_others({one: rest[one] / known[one] for one in values}, name))
            return known[name] * max(turmoil, 1.0)
        now = few * median(_others({one: max(rest[one], usual[one] / 1.4826) for one in values}, name))
        return max(now, least, usual[name] if self.settings.own_offset else 0.0)

    def _usual(self, name: Any, values: Mapping[Any, float], usual: Mapping[Any, float]) -> float:
        least = 0.001 * abs(median(_others(values, name)))
        return max(usual[name], 0.5 * median(_others(usual, name)), least, 2.2250738585072014e-308)

    def _learn(
        self, name: Any, at_ms: int, value: float, middle: float, place: float, scale: float, size: float
    ) -> None:
        habit, settings = self.habits[name], self.settings
        is_strange = size >= settings.width * (0.75 if habit.strange else 1)
        multiple = value / middle if middle else None
        if not is_strange:
            gain = min(max(self.hop_ms / settings.memory, 1 / (habit.age + 1)), 1.0)
            rests = {"distance": (value - middle - habit.distance, 1.0)}
            if multiple is not None:
                rests["multiple"] = (multiple - habit.multiple) * middle, middle
            for kind, (rest, unit) in rests.items():
                moved = getattr(habit, kind) + gain * max(-3 * scale, min(rest, 3 * scale)) / unit
                if settings.own_offset:
                    setattr(habit, kind, moved)
            for kind, rest in {"distance_error": rests["distance"][0], "error": value - place}.items():
                self._grow(habit, kind, rest, scale, gain)
            if multiple is not None:
                self._grow(habit, "multiple_error", rests["multiple"][0], scale, gain)
        habit.strange = habit.strange + 1 if is_strange else 0
        if habit.strange:
            self._suffer(habit, at_ms, value - middle, 1.0 if multiple is None else multiple)
        habit.age += 1

    @staticmethod
    def _grow(habit: Habit, kind: str, rest: float, scale: float, gain: float) -> None:
        before = getattr(habit, kind)
        setattr(habit, kind, before + gain * (min(abs(rest), 3 * scale) - before) if habit.age else 0.0)

    def _suffer(self, habit: Habit, at_ms: int, distance: float, multiple: float) -> None:
        if habit.strange == 1:
            habit.since_ms, habit.strange_distance, habit.strange_multiple = at_ms, distance, multiple
        else:
            habit.strange_distance += (distance - habit.strange_distance) / habit.strange
            habit.strange_multiple += (multiple - habit.strange_multiple) / habit.strange
        if self.settings.own_offset and at_ms - habit.since_ms >= self.settings.relearn_after:
            habit.distance, habit.multiple = habit.strange_distance, habit.strange_multiple
            habit.strange, habit.moved_ms = 0, at_ms


def _others(values: Mapping[Any, float], name: Any) -> list[float]:
    return [value for one, value in values.items() if one != name]
