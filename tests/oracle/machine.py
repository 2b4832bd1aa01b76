"""A slow and obvious model of a rule on one series: every value in its order, each level for itself."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

from tocsin.schemas.kinds import Level
from tocsin.schemas.rule import Rule

COMPARE = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip
LONG_AGO = -(10**15)


@dataclass(frozen=True)
class Verdict:
    """What a signal must say. Times in milliseconds."""

    kind: str
    since_ms: int
    at_ms: int
    value: float
    samples: int
    level: int = 0
    reason: str = "condition"


@dataclass
class Stage:
    """One level: since when its condition has held, whether it fires, and since when a firing one is not met."""

    since_ms: int | None = None
    fires: bool = False
    missing_ms: int | None = None
    by_silence: bool = False

    @property
    def waits(self) -> bool:
        return self.since_ms is not None and not self.fires

    def rest(self) -> None:
        self.since_ms, self.fires, self.missing_ms, self.by_silence = None, False, None, False


@dataclass
class Machine:
    """The alert of one rule on one series."""

    rule: Rule
    said: list[Verdict] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    fired_ms: int = LONG_AGO
    fired_level: int = -1
    value: float = 0.0

    def __post_init__(self) -> None:
        self.stages = [Stage() for _ in self.rule.steps]

    def shown(self) -> int | None:
        """The worst level that fires."""
        return max((number for number, stage in enumerate(self.stages) if stage.fires), default=None)

    def since(self) -> int:
        return min(stage.since_ms for stage in self.stages if stage.since_ms is not None)

    def may_fire_at(self, number: int, fires_already: bool) -> int:
        """When a level that waits has waited enough. The cooldown is between two alerts, and no worse one waits it
        out."""
        since_ms = self.stages[number].since_ms
        assert since_ms is not None
        held_ms = since_ms + self.rule.hold_ms(number)
        if fires_already or number > self.fired_level:
            return held_ms
        return max(held_ms, self.fired_ms + self.rule.cooldown)

    def judge(self, at_ms: int, value: float, samples: int) -> None:
        """A value."""
        before, waited, began_ms = self._picture()
        was_silent = any(stage.by_silence for stage in self.stages)
        for number, (stage, level) in enumerate(zip(self.stages, self.rule.steps, strict=True)):
            meets, stays = holds(self.rule, level, value)
            stage.by_silence = False
            if stage.fires and stays:
                stage.missing_ms = None
            elif stage.fires:
                stage.missing_ms = at_ms if stage.missing_ms is None else stage.missing_ms
                if at_ms - stage.missing_ms >= self.rule.keep_firing_for:
                    stage.rest()
            elif meets:
                stage.since_ms = at_ms if stage.since_ms is None else stage.since_ms
                stage.fires = at_ms >= self.may_fire_at(number, before is not None)
            else:
                stage.rest()
        self._tell(before, waited, began_ms, at_ms, value, samples, "condition", was_silent)

    def fall_silent(self, latest_ms: int, at_ms: int) -> None:
        """Nothing came since `latest_ms`."""
        before, waited, began_ms = self._picture()
        if self.rule.on_no_data == "ok":
            for stage in self.stages:
                stage.rest()
            self._tell(before, waited, began_ms, at_ms, self.value, 0, "no data")
        elif self.rule.on_no_data == "alert" and before is None:
            since_ms = latest_ms if self.stages[0].since_ms is None else self.stages[0].since_ms
            for stage in self.stages:
                stage.rest()
            self.stages[0] = Stage(since_ms, fires=True, by_silence=True)
            self._tell(before, waited, began_ms, at_ms, self.value if waited else 0.0, 0, "no data")

    def _picture(self) -> tuple[int | None, bool, int]:
        active = any(stage.since_ms is not None for stage in self.stages)
        return self.shown(), any(stage.waits for stage in self.stages), self.since() if active else 0

    def _tell(
        self,
        before: int | None,
        waited: bool,
        began_ms: int,
        at_ms: int,
        value: float,
        samples: int,
        reason: str,
        was_silent: bool = False,
    ) -> None:
        """What the picture now says that the one before did not; that data is back is worth saying too."""
        now, waits = self.shown(), any(stage.waits for stage in self.stages)
        kinds = []
        if before is not None and now is not None and (before != now or was_silent):
            kinds = ["changed"]
        elif before is None and now is not None:
            kinds = ["firing"]
        elif now is None:
            if before is not None or (waited and not waits):
                kinds.append("ended")
            if waits and (before is not None or not waited):
                kinds.append("pending")
        for kind in kinds:
            level, since_ms = (before, began_ms) if kind == "ended" else (now, self.since())
            self.said.append(Verdict(kind, since_ms, at_ms, value, samples, level or 0, reason))
            self.value = value
            if kind == "firing":
                self.fired_ms, self.fired_level = at_ms, level or 0
            if kind == "changed":
                self.fired_level = max(self.fired_level, level or 0)


def holds(rule: Rule, level: Level, value: float) -> tuple[bool, bool]:
    """Whether a value meets the condition, and whether a firing alert stays with it."""
    if rule.condition in ("absence", "composite"):
        return value > 0, value > 0
    if rule.condition == "range":
        assert level.lower is not None
        assert level.upper is not None
        wrong = (level.lower <= value <= level.upper) == rule.inside
        return wrong, wrong
    compare = COMPARE[rule.operator]
    assert level.threshold is not None
    recovery = level.threshold if level.recovery_threshold is None else level.recovery_threshold
    return compare(value, level.threshold), compare(value, recovery)
