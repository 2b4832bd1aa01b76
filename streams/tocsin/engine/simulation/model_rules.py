"""What a rule says about one series, by the definitions of its states: the oracle of evaluate."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tocsin.engine.simulation.model_learnt import Learnt
from tocsin.engine.simulation.model_windows import Absence, Judged, begins, ends, window_of
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import SignalKind

LONG_AGO_MS = -(10**15)


@dataclass(frozen=True, slots=True)
class Said:
    """A signal, as far as it can be foreseen. Of a rule that learns, `value` is how far it is from what was learnt, and
    `measured` the value itself, where one was judged."""

    kind: SignalKind
    at_ms: int
    since_ms: int
    value: float
    level: int
    reason: str
    revision: int
    measured: float | None = None


@dataclass(slots=True)
class Level:
    """`state` is rest, waiting, firing, keeping (the condition is over, its alert goes on) or missing (no data)."""

    state: str = "rest"
    since_ms: int = 0
    until_ms: int = 0  # while keeping


class RuleModel:
    """One rule on one series."""

    def __init__(self, rule: Rule, revision: int, heard_ms: int) -> None:
        self.rule, self.revision = rule, revision
        self.window = window_of(rule)
        self._learnt: Final = Learnt(rule) if rule.learns else None
        self._measured: float | None = None
        self.steps = rule.steps
        self.levels = [Level() for _ in self.steps]
        self.cool_ms, self.fired_level = LONG_AGO_MS, -1
        self.said_ms, self.said_value = LONG_AGO_MS, 0.0
        self.heard_ms = heard_ms

    def take(self, at_ms: int, value: float) -> list[Said]:
        """A sample, in the order in which it counts; one that comes after long ends a silence that nobody noticed."""
        was_silent = 0 <= self.heard_ms <= at_ms - self._patience_ms()
        found = self.rest(is_long=True, latest_ms=self.heard_ms) if was_silent else []
        self.heard_ms = max(self.heard_ms, at_ms)
        return found + self._hear(self.window.take(at_ms, value))

    def _patience_ms(self) -> int:
        settings = self.rule.absence
        return self.rule.no_data_after if settings is None or settings.after is None else settings.after

    def rest(self, is_long: bool, latest_ms: int) -> list[Said]:
        """Nothing has come for a while: windows close; after long the series counts as silent."""
        found = self._hear(self.window.quiet())
        return found + self.silence(latest_ms) if is_long else found

    def silence(self, latest_ms: int) -> list[Said]:
        """The series has been silent for longer than any rule allows. An alert that goes on is not touched."""
        if isinstance(self.window, Absence):
            return self._hear(self.window.missed())
        at_ms = latest_ms + self.rule.no_data_after
        if self.rule.on_no_data == "ok":
            return self.stop(at_ms, "no data")
        if self.rule.on_no_data == "keep" or self._shown() >= 0:
            return []
        before = self._snapshot()
        is_waiting = any(level.state == "waiting" for level in before)
        if self.levels[0].state == "rest":
            self.levels[0].since_ms = latest_ms
        for level in self.levels:
            level.state = "rest"
        self.levels[0].state = "missing"
        return self._told(before, at_ms, self.said_value if is_waiting else 0.0, "no data")

    def stop(self, at_ms: int, reason: str) -> list[Said]:
        """Whatever goes on ends."""
        if all(level.state == "rest" for level in self.levels):
            return []
        before = self._snapshot()
        for level in self.levels:
            level.state = "rest"
        at_ms = max(at_ms, self.said_ms)
        self.said_ms = at_ms
        return [Said("ended", at_ms, *self._ended(before, self.said_value), reason, self.revision)]

    def change(self, rule: Rule, revision: int) -> None:
        """Other figures, from now on; what waits, waits by the new ones."""
        self.rule, self.revision, self.window.rule = rule, revision, rule
        self.steps = rule.steps

    def _hear(self, values: Iterable[Judged]) -> list[Said]:
        found: list[Said] = []
        for at_ms, value in list(values):
            if self._learnt is None:
                found += self._judge(at_ms, value)
            elif (judged := self._learnt(at_ms, value)) is not None:
                self._measured = value
                found += self._judge(*judged)
                self._measured = None
        return found

    def _judge(self, at_ms: int, value: float) -> list[Said]:
        if all(level.state == "rest" for level in self.levels) and not any(
            begins(self.rule, step, value) for step in self.steps
        ):
            return []
        before = self._snapshot()
        for number, level in enumerate(self.levels):
            self._advance(number, level, at_ms, value, _worst(before) >= 0)
        return self._told(before, at_ms, value, "condition")

    def _advance(self, number: int, level: Level, at_ms: int, value: float, fires_already: bool) -> None:
        is_bad = begins(self.rule, self.steps[number], value)
        if level.state in ("firing", "keeping", "missing"):
            if not ends(self.rule, self.steps[number], value):
                level.state = "firing"
                return
            if level.state != "keeping":
                level.state, level.until_ms = "keeping", at_ms + self.rule.keep_firing_for
            if at_ms >= level.until_ms:
                level.state = "rest"
        elif not is_bad:
            level.state = "rest"
        else:
            if level.state == "rest":
                level.state, level.since_ms = "waiting", at_ms
            if at_ms >= self._due_ms(number, fires_already):
                level.state = "firing"

    def _due_ms(self, number: int, fires_already: bool) -> int:
        """Held for its duration; a new alert also after the last one's cooldown, unless it is worse than that was."""
        own = self.steps[number].duration
        held = 0 if self.rule.condition == "absence" else self.rule.duration if own is None else own
        due_ms = self.levels[number].since_ms + held
        return due_ms if fires_already or number > self.fired_level else max(due_ms, self.cool_ms)

    def _snapshot(self) -> list[Level]:
        return [Level(level.state, level.since_ms) for level in self.levels]

    def _shown(self) -> int:
        return _worst(self.levels)

    def _ended(self, before: list[Level], value: float) -> tuple[int, float, int]:
        return _since(before), value, max(_worst(before), 0)

    def _told(self, before: list[Level], at_ms: int, value: float, reason: str) -> list[Said]:
        """What a change of the levels' states makes a rule say."""
        was, now = _worst(before), self._shown()
        was_waiting = was < 0 and any(level.state == "waiting" for level in before)
        is_waiting = now < 0 and any(level.state == "waiting" for level in self.levels)
        found: list[Said] = []
        if (was >= 0 or was_waiting) and now < 0 and not (was_waiting and is_waiting):
            found.append(Said("ended", at_ms, *self._ended(before, value), reason, self.revision, self._measured))
        if is_waiting and not was_waiting:
            found.append(Said("pending", at_ms, _since(self.levels), value, 0, reason, self.revision, self._measured))
        elif now >= 0 and (was != now or (before[was].state == "missing") is not (self.levels[now].state == "missing")):
            kind: SignalKind = "firing" if was < 0 else "changed"
            if kind == "firing":
                self.cool_ms = at_ms + self.rule.cooldown
            self.fired_level = now if kind == "firing" else max(now, self.fired_level)
            found.append(Said(kind, at_ms, _since(self.levels), value, now, reason, self.revision, self._measured))
        if found:
            self.said_ms, self.said_value = max(at_ms, self.said_ms), value
        return found


def _worst(levels: list[Level]) -> int:
    return max((n for n, level in enumerate(levels) if level.state in ("firing", "keeping", "missing")), default=-1)


def _since(levels: list[Level]) -> int:
    return min(level.since_ms for level in levels if level.state != "rest")
