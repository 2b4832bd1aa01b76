"""What evaluate knows of one samples partition, and how it follows a change of rules."""

from dataclasses import dataclass, field

import numpy as np

from tocsin.engine.evaluate.instants import InstantLane
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import LaneSpec, Plan, same_state
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import UNWATCHED, SeriesTable
from tocsin.engine.evaluate.windows import WindowLane
from tocsin.engine.watermark import TopicProgress
from tocsin.schemas.labels import parse_series_key
from tocsin.schemas.signal import Signal


@dataclass(slots=True)
class PartitionState:
    """State after the record at `offset` of the samples partition; -1 before the first."""

    offset: int = -1
    plan: Plan = field(default_factory=Plan)
    series: SeriesTable = field(default_factory=SeriesTable)
    lanes: dict[str, Lane] = field(default_factory=dict)
    topics: dict[str, TopicProgress] = field(default_factory=dict)
    source_numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    waiting: dict[str, Samples] = field(default_factory=dict)  # by topic
    clock_ms: int = 0
    looked_s: int = 0  # second in which silent windows were last looked for
    parity: dict[str, int] = field(default_factory=dict)  # which copy of each checkpoint entry is in force
    plan_saved: int = -2

    def source_number(self, topic: str, partition: int) -> int:
        """A small number for a source partition."""
        found = self.source_numbers.get((topic, partition))
        if found is None:
            found = self.source_numbers[topic, partition] = len(self.series.sources)
            self.series.sources.append((topic, partition))
        return found

    def admit(self, identity: bytes, key: bytes, unit: str | None) -> int:
        """A series seen for the first time; returns its number, UNWATCHED if no lane wants it."""
        number = UNWATCHED
        name, labels = parse_series_key(key)
        for lane_key in self.plan.by_metric.get(name, ()):
            if self.plan.specs[lane_key].watches(name, labels):
                if number == UNWATCHED:
                    number = self.series.add(identity, key, unit)
                self._join(self.lanes[lane_key], number)
        if number == UNWATCHED:
            self.series.numbers[identity] = UNWATCHED
        return number

    def _join(self, lane: Lane, number: int) -> None:
        lane.admit(number)
        lateness = self.series.columns["lateness"]
        lateness[number] = max(lateness[number], lane.spec.lateness_ms)

    def adopt(self, plan: Plan, at_ms: int) -> list[Signal]:
        """Go on under another plan; alerts of rules that are gone, disabled or about something else now end."""
        out: list[Signal] = []
        for lane in self.lanes.values():
            for judge in lane.judges.values():
                for column, version in enumerate(judge.versions):
                    reason = _why_stopped(version, plan)
                    if reason:
                        judge.stop(column, at_ms, reason, lane.describe, out)
        old, self.lanes = self.lanes, {}
        self.plan = plan
        self.series.columns["lateness"][:] = 0
        for key, spec in plan.specs.items():
            if key in old:
                self.lanes[key] = old[key]
                self.lanes[key].adopt(plan.rules[key])
                members = old[key].columns["series"][: old[key].columns.count]
                lateness = self.series.columns["lateness"]
                lateness[members] = np.maximum(lateness[members], spec.lateness_ms)
            else:
                self.lanes[key] = make_lane(spec, plan.rules[key], self.series)
                for number in range(self.series.columns.count):
                    if spec.watches(*self.series.describe(number)):
                        self._join(self.lanes[key], number)
        self.series.forget_unwatched()
        self.series.columns.dirty[:] = True
        return out


def make_lane(spec: LaneSpec, rules: dict[str, list[RuleVersion]], series: SeriesTable) -> Lane:
    """An empty lane of the kind that a spec asks for."""
    return (WindowLane if spec.window else InstantLane)(spec, rules, series)


def _why_stopped(version: RuleVersion, plan: Plan) -> str | None:
    now = plan.versions.get(version.rule.id)
    if now is None:
        return "rule deleted"
    if not now.rule.enabled:
        return "rule disabled"
    return None if same_state(version.rule, now.rule) and now.epoch == version.epoch else "rule changed"
