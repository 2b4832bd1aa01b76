"""What combine knows of one partition of `partials`."""

from dataclasses import dataclass, field

from tocsin.engine.combine.group_lane import TOPIC, GroupLane, group_table
from tocsin.engine.combine.lanes import make_group_lane
from tocsin.engine.combine.silence import SilenceGroups
from tocsin.engine.evaluate.copies import Copies
from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.state import stopped
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Progress, home_of
from tocsin.schemas.signal import Signal


@dataclass(slots=True)
class Gatherer:
    """One samples partition: the number of the last record applied, how far it is, and how long it was listened to."""

    sequence: int = -1
    watermark_ms: int = UNSEEN_MS
    listened_ms: int = -1
    credit_ms: int = 0


@dataclass(slots=True)
class CombineState:
    """State after the record at `offset` of a partition of `partials`; -1 before the first."""

    partition: int = 0
    offset: int = -1
    plan: Plan = field(default_factory=Plan)
    series: SeriesTable = field(default_factory=group_table)
    lanes: dict[str, GroupLane] = field(default_factory=dict)
    gatherers: dict[str, Gatherer] = field(default_factory=dict)
    wanted: int = 0  # how many gatherers there are
    listened_ms: int = 0
    clock_ms: int = 0
    looked_s: int = 0
    copies: Copies = field(default_factory=Copies)
    plan_saved: int = -2

    def is_known(self, source: str, sequence: int) -> bool:
        """Whether a record was applied already; notes it if not."""
        gatherer = self.gatherers.setdefault(source, Gatherer())
        if sequence <= gatherer.sequence:
            return True
        gatherer.sequence = sequence
        return False

    def note(self, progress: Progress) -> None:
        """How far a gatherer is; time passes as far as all of them were listened to."""
        gatherer = self.gatherers[progress.source]
        if gatherer.listened_ms >= 0:
            gatherer.credit_ms += max(progress.listened_ms - gatherer.listened_ms, 0)
        gatherer.listened_ms = progress.listened_ms
        gatherer.watermark_ms = max(gatherer.watermark_ms, progress.watermark_ms)
        self.wanted, self.clock_ms = progress.sources, max(self.clock_ms, progress.clock_ms)
        if len(self.gatherers) >= self.wanted:
            heard = min(one.credit_ms for one in self.gatherers.values())
            self.listened_ms += heard
            for one in self.gatherers.values():
                one.credit_ms -= heard

    @property
    def watermark_ms(self) -> int:
        """What lies before was sent by all gatherers."""
        if not self.wanted or len(self.gatherers) < self.wanted:
            return UNSEEN_MS
        return min(one.watermark_ms for one in self.gatherers.values())

    def adopt(self, plan: Plan, at_ms: int, partitions: int) -> list[Signal]:
        """Go on under another plan; alerts of rules that are gone, disabled or about something else now end."""
        old = self.lanes
        out = [signal for lane in old.values() for signal in stopped(lane, plan, at_ms)]
        self.plan, self.lanes = plan, {}
        for key, spec in plan.groups.items():
            if key in old:
                self.lanes[key] = old[key]
                self.lanes[key].adopt(plan.group_rules[key])
                continue
            lane = self.lanes[key] = make_group_lane(spec, plan.group_rules[key], self.series)
            if isinstance(lane, SilenceGroups):
                own = [key for key in lane.expected() if home_of(key, partitions) == self.partition]
                lane.expect(own, max(self.watermark_ms, at_ms), self.listened_ms)
        return out

    def look(self, quiet_ms: int, forget_ms: int, out: list[Signal]) -> None:
        """Groups that fell silent, and those of which nothing was heard for long."""
        listened = {TOPIC: self.listened_ms}
        now_ms = self.series.now_ms(listened)
        for lane in self.lanes.values():
            lane.quiet(now_ms, 2**62, quiet_ms, out)
        for number in self.series.idle(listened, forget_ms).tolist():
            if self.series.keys[number] is not None and all(lane.is_at_rest(number) for lane in self.lanes.values()):
                for lane in self.lanes.values():
                    lane.dismiss(number)
                self.series.remove(number)
