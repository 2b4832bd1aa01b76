"""What combine knows of one partition of `partials`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.combine.composite import CompositeGroups
from tocsin.engine.combine.group_lane import TOPIC, GroupLane, group_table
from tocsin.engine.combine.lanes import make_group_lane
from tocsin.engine.combine.limits import LimitAlerts
from tocsin.engine.combine.silence import SilenceGroups
from tocsin.engine.evaluate.copies import Copies
from tocsin.engine.evaluate.lane import FREE
from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.sharing import Sender, numbered_from
from tocsin.engine.evaluate.state import DELETED, REFUSED, stopped
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Change, Panes, Progress, home_of
from tocsin.engine.watermark import EVERYTHING_MS
from tocsin.schemas.signal import Signal

_SENDER: Final = "combine/"


@dataclass(slots=True)
class Gatherer:
    """One samples partition: the number of the last record applied, how far it is, how long it was listened to, and its
    clock. `credit_ms` is for how long it was listened to when others were not yet."""

    sequence: int = -1
    watermark_ms: int = UNSEEN_MS
    listened_ms: int = -1
    credit_ms: int = 0
    clock_ms: int = 0

    def note(self, progress: Progress) -> None:
        """How far it is. No more time was listened to than went by: topics come and go, each with a time of its own."""
        if self.listened_ms >= 0:
            passed_ms = min(progress.listened_ms - self.listened_ms, progress.clock_ms - self.clock_ms)
            self.credit_ms += max(passed_ms, 0)
        self.listened_ms, self.clock_ms = progress.listened_ms, progress.clock_ms
        self.watermark_ms = max(self.watermark_ms, progress.watermark_ms)


@dataclass(slots=True)
class CombineState:
    """State after the record at `offset` of a partition of `partials`; -1 before the first.

    `early` are changes said by a newer plan than ours, `heard` the last numbers of other partitions that said some.
    """

    partition: int = 0
    offset: int = -1
    plan: Plan = field(default_factory=Plan)
    series: SeriesTable = field(default_factory=group_table)
    lanes: dict[str, GroupLane] = field(default_factory=dict)
    parts: dict[str, list[tuple[GroupLane, int]]] = field(default_factory=dict)  # by key of the lane that gathers
    gatherers: dict[str, Gatherer] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    early: list[Change] = field(default_factory=list)
    limits: LimitAlerts = field(default_factory=LimitAlerts)
    wanted: int = 0  # how many gatherers there are
    listened_ms: int = 0
    clock_ms: int = 0
    looked_s: int = 0
    advanced_ms: int = UNSEEN_MS
    sequence: int = 0  # of the next change that it says
    copies: Copies = field(default_factory=Copies)
    plan_saved: int = -2
    taken: dict[str, str] = field(default_factory=dict)  # see PartitionState
    owed: list[Signal] = field(default_factory=list)

    def is_known(self, source: str, sequence: int) -> bool:
        """Whether a record was applied already; notes it if not."""
        gatherer = self.gatherers.setdefault(source, Gatherer())
        if sequence <= gatherer.sequence:
            return True
        gatherer.sequence = sequence
        return False

    def hear(self, change: Change) -> None:
        """A member of a composite changed. Samples partitions say so before what they send next, as often as they are
        replayed; of others each change has a number of its own."""
        if change.source in self.gatherers:
            if change.sequence <= self.gatherers[change.source].sequence:
                return
        elif change.source.startswith(_SENDER):
            if change.sequence <= self.heard.get(change.source, -1):
                return
            self.heard[change.source] = change.sequence
        self._hand_on(change)

    def _hand_on(self, change: Change) -> None:
        lane = self.lanes.get(change.lane)
        if isinstance(lane, CompositeGroups):
            lane.take_change(change)
        elif change.rules_offset > self.plan.offset:
            self.early.append(change)

    def sender(self) -> Sender:
        """Who says what members of composites do that are groups themselves."""
        self.sequence = numbered_from(self.sequence, self.clock_ms)
        return Sender(f"{_SENDER}{self.partition}", self.sequence, self.plan.offset)

    def number(self, changes: Sequence[Change]) -> list[Change]:
        """Changes of ours, each with its own number."""
        first, self.sequence = self.sequence, self.sequence + len(changes)
        return [msgspec.structs.replace(change, sequence=first + index) for index, change in enumerate(changes)]

    def note(self, progress: Progress) -> None:
        """How far a gatherer is; time passes as far as all of them were listened to."""
        self.gatherers[progress.source].note(progress)
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

    def take_out(self, refused: dict[str, str]) -> None:
        """Go on without rules that this tocsin refuses, with the reason of each."""
        self.taken = refused
        self.owed = self.adopt(self.plan.without(refused), self.clock_ms, self.wanted, REFUSED)

    def adopt(self, plan: Plan, at_ms: int, partitions: int, gone: str = DELETED) -> list[Signal]:
        """Go on under another plan; alerts of rules that are `gone`, disabled or about something else now end.

        There are as many partitions of `partials` as of `samples`.
        """
        old = self.lanes
        changed = {key for key in old if self.plan.group_rules[key] is not plan.group_rules.get(key)}
        out = [signal for key, lane in old.items() if key in changed for signal in stopped(lane, plan, at_ms, gone)]
        self.plan, self.plan_saved, self.lanes = plan, -2, {}
        for key, spec in plan.groups.items():
            if key in old:
                self.lanes[key] = old[key]
                if key in changed:
                    self.lanes[key].adopt(plan.group_rules[key])
                continue
            lane = self.lanes[key] = make_group_lane(spec, plan.group_rules[key], self.series)
            if isinstance(lane, SilenceGroups):
                own = [key for key in lane.expected() if home_of(key, partitions) == self.partition]
                lane.expect(own, max(self.watermark_ms, at_ms), self.listened_ms)
        self.find_parts()
        if old.keys() != self.lanes.keys():
            lanes = self.lanes.values()
            self.series.remove([n for n in self.series.all() if all(lane.slot_of(n) == FREE for lane in lanes)])
        early, self.early = self.early, []
        for change in early:
            self._hand_on(change)
        return out

    def find_parts(self) -> None:
        """Note which lanes wait for which shares."""
        self.parts = {}
        for lane in self.lanes.values():
            for part, key in enumerate(lane.spec.parts):
                self.parts.setdefault(key, []).append((lane, part))

    def take_panes(self, panes: Panes) -> None:
        """Shares of groups."""
        for lane, part in self.parts.get(panes.lane, ()):
            lane.take_panes(part, panes, self.listened_ms)

    def advance(self, out: list[Signal]) -> None:
        """Go on with everything that the watermark has passed."""
        if self.watermark_ms > self.advanced_ms:
            self.advanced_ms = self.watermark_ms
            for lane in self.lanes.values():
                lane.advance(self.watermark_ms, self.listened_ms, out)

    def look(self, quiet_ms: int, forget_ms: int, out: list[Signal]) -> None:
        """Groups that fell silent, and those of which nothing was heard for long. Silence goes no further than the
        watermark: shares of later panes may still be gathered."""
        listened = {TOPIC: self.listened_ms}
        now_ms = np.minimum(self.series.now_ms(listened), self.watermark_ms)
        for lane in self.lanes.values():
            lane.quiet(now_ms, EVERYTHING_MS, quiet_ms, out)
        lanes = self.lanes.values()
        idle = self.series.idle(listened, forget_ms).tolist()
        gone = [n for n in idle if self.series.keys[n] is not None and all(lane.is_at_rest(n) for lane in lanes)]
        for number in gone:
            for lane in lanes:
                if lane.slot_of(number) != FREE:
                    lane.dismiss(number)
        self.series.remove(gone)
