"""What evaluate knows of one samples partition, and how it follows a change of rules."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tocsin.engine.evaluate.copies import Copies
from tocsin.engine.evaluate.flow import Flow
from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.lanes import make_lane
from tocsin.engine.evaluate.plan import LaneSpec, Plan
from tocsin.engine.evaluate.refusals import Refusals
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.watermark import TopicProgress
from tocsin.schemas.labels import is_shadow, parse_series_key, series_id
from tocsin.schemas.signal import Signal

DELETED: Final = "rule deleted"
REFUSED: Final = "rule refused"  # by a tocsin that asks more of rules than the one that took it


@dataclass(slots=True)
class PartitionState:
    """State after the record at `offset` of the samples partition; -1 before the first."""

    offset: int = -1
    plan: Plan = field(default_factory=Plan)
    series: SeriesTable = field(default_factory=SeriesTable)
    flows: dict[int, Flow] = field(default_factory=dict)  # by lateness, and one for what needs no order
    topics: dict[str, TopicProgress] = field(default_factory=dict)
    source_numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    clock_ms: int = 0
    looked_s: int = 0  # second in which silent series were last looked for
    copies: Copies = field(default_factory=Copies)
    plan_saved: int = -2
    shadowed: dict[tuple[str, int], int] = field(default_factory=dict)  # samples, by candidate and its epoch
    source: str = ""  # the name under which this partition sends shares of groups
    sequence: int = 0  # of the next thing it sends
    most_series: int = 1_000_000  # of all rules together
    refused: Refusals = field(default_factory=Refusals)  # series beyond these
    limits_ms: int = 0  # clock at which limits were last looked at
    limits_said: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # rules and whom to tell
    taken: dict[str, str] = field(default_factory=dict)  # rules that were taken out when it was restored, and why
    owed: list[Signal] = field(default_factory=list)  # what came of that, to be said by the next step

    @property
    def lanes(self) -> dict[str, Lane]:
        """All lanes by key."""
        return {key: lane for flow in self.flows.values() for key, lane in flow.lanes.items()}

    def listened_ms(self) -> dict[str, int]:
        """For how long each topic has been listened to."""
        return {name: topic.listened_ms for name, topic in self.topics.items()}

    def source_number(self, topic: str, partition: int) -> int:
        """A small number for a source partition."""
        found = self.source_numbers.get((topic, partition))
        if found is None:
            found = self.source_numbers[topic, partition] = len(self.series.sources)
            self.series.sources.append((topic, partition))
        return found

    def would_close(self, watermark_ms: int) -> bool:
        """Whether the watermark has passed a pane that is still gathered."""
        return any(isinstance(lane, GatherLane) and lane.is_due(watermark_ms) for lane in self.lanes.values())

    def admit(self, identities: Sequence[bytes], named: Sequence[tuple[bytes, str | None]]) -> None:
        """Series that are seen for the first time, none of them twice, with their keys and units: lanes that want them
        watch them, as long as they may."""
        watching = [(self.plan.specs[key], lane) for key, lane in self.lanes.items()]
        wanted = [_wanted_by(watching, key) for key, _ in named]
        watched = [index for index, lanes in enumerate(wanted) if lanes]
        places: defaultdict[Lane, list[int]] = defaultdict(list)
        for place, index in enumerate(watched):
            for lane in wanted[index]:
                places[lane].append(place)
        if len(watched) <= self._room() and all(len(own) <= lane.room() for lane, own in places.items()):
            self._admit_all(identities, named, watched, places)
            return
        for identity, one, lanes in zip(identities, named, wanted, strict=True):
            self._admit_one(identity, one, lanes)

    def _room(self) -> int:
        return self.most_series - (len(self.series.keys) - len(self.series.free))

    def _admit_all(
        self,
        identities: Sequence[bytes],
        named: Sequence[tuple[bytes, str | None]],
        watched: Sequence[int],
        places: Mapping[Lane, Sequence[int]],
    ) -> None:
        """Where there is room: `watched` are those that some lane wants, by index, and `places` which of them each."""
        keys, units = [named[index][0] for index in watched], [named[index][1] for index in watched]
        numbers = self.series.add([identities[index] for index in watched], keys, units)
        for lane in self.lanes.values():
            if lane in places:
                lane.admit(numbers[places[lane]])
        chosen = set(watched)
        self.series.pass_over([identity for index, identity in enumerate(identities) if index not in chosen])

    def _admit_one(self, identity: bytes, named: tuple[bytes, str | None], wanted: Sequence[Lane]) -> None:
        full = [lane for lane in wanted if lane.room() <= 0]
        for lane in full:
            lane.refused.add(identity, self.clock_ms)
        has_room = self._room() > 0
        if not has_room and any(self._is_of_rules(lane) for lane in wanted if lane not in full):
            self.refused.add(identity, self.clock_ms)
        if len(full) == len(wanted) or not has_room:
            self.series.pass_over([identity])
            return
        key, unit = named
        numbers = self.series.add([identity], [key], [unit])
        for lane in wanted:
            if lane in full:
                lane.refused.waiting.add(int(numbers[0]))
            else:
                lane.admit(numbers)

    def _is_of_rules(self, lane: Lane) -> bool:
        """Whether a rule looks at a lane, and not only candidates in shadow: what these miss nobody is told of."""
        judged = self.plan.rules[lane.spec.key].values()
        return any(not is_shadow(version.rule.id) for _, versions in judged for version in versions)

    def late(self) -> dict[str, int]:
        """How many samples came too late to be judged, by rule; only of rules for which some did."""
        found: dict[str, int] = {}
        for lane in (one for one in self.lanes.values() if one.late):
            for rule_id in {version.rule.id for version in lane.versions()}:
                found[rule_id] = found.get(rule_id, 0) + lane.late
        return found

    def forget_idle(self, forget_ms: int) -> None:
        """Series from which nothing has come for long leave memory, unless some rule still has something to say."""
        idle = self.series.idle(self.listened_ms(), forget_ms).tolist()
        lanes = self.lanes.values()
        gone = [n for n in idle if self.series.keys[n] is not None and all(lane.is_at_rest(n) for lane in lanes)]
        for number in gone:
            for lane in lanes:
                lane.dismiss(number)
        self._remove(gone)
        if gone and self._is_full():
            self.series.forget_unwatched()  # there is room now

    def _is_full(self) -> bool:
        return self.refused.is_met or any(lane.refused.is_met for lane in self.lanes.values())

    def retry_refused(self) -> None:
        """A round of refusals is over: those that are still there find room now, or are counted anew."""
        if self._is_full():
            self.series.forget_unwatched()
        self.refused.turn()
        for lane in self.lanes.values():
            lane.refused.turn()
            waiting, lane.refused.waiting = sorted(lane.refused.waiting), set()
            for number in waiting:
                self._admit_to(lane, number)

    def _admit_to(self, lane: Lane, number: int) -> None:
        """A lane watches a series that is known, if there is room."""
        if lane.room() > 0:
            lane.admit(np.array([number]))
            return
        key = self.series.keys[number]
        assert key is not None, f"series {number} is free"
        lane.refused.add(series_id(key), self.clock_ms)
        lane.refused.waiting.add(number)

    def _remove(self, numbers: list[int]) -> None:
        """Forget series, and their samples that wait: the numbers will be others'."""
        if not numbers:
            return
        for flow in self.flows.values():
            flow.drop(np.array(numbers))
            for lane in flow.lanes.values():
                lane.refused.waiting.difference_update(numbers)
        self.series.remove(numbers)

    def take_out(self, refused: dict[str, str]) -> None:
        """Go on without rules that this tocsin refuses, with the reason of each."""
        self.taken = refused
        self.owed = self.adopt(self.plan.without(refused), self.clock_ms, REFUSED)

    def adopt(self, plan: Plan, at_ms: int, gone: str = DELETED) -> list[Signal]:
        """Go on under another plan; alerts of rules that are `gone`, disabled or about something else now end. Lanes at
        which no changed rule looks stay as they are."""
        old = self.lanes
        changed = {key for key in old if self.plan.rules[key] is not plan.rules.get(key)}
        out = [signal for key, lane in old.items() if key in changed for signal in stopped(lane, plan, at_ms, gone)]
        self.plan, self.plan_saved = plan, -2
        kept = {(one.rule.id, one.epoch) for one in plan.versions.values() if is_shadow(one.rule.id)}
        self.shadowed = {key: self.shadowed.get(key, 0) for key in kept}
        before, self.flows = self.flows, make_flows(plan)
        for lateness_ms, flow in self.flows.items():
            if lateness_ms in before:
                flow.waiting = before[lateness_ms].waiting
        for key, spec in plan.specs.items():
            lanes = self.flows[spec.flow].lanes
            if key not in old:
                lanes[key] = self._new_lane(spec)
                continue
            lanes[key] = old[key]
            if key in changed:
                lanes[key].adopt(plan.rules[key])
        if old.keys() != plan.specs.keys():
            self._forget_unwatched()
        return out

    def _new_lane(self, spec: LaneSpec) -> Lane:
        lane = make_lane(spec, self.plan.rules[spec.key], self.series)
        watched = [n for n in self.series.of_metric(spec.metric) if spec.watches(*self.series.describe(n))]
        lane.admit(np.array(watched[: lane.room()], np.int64))
        for number in watched[lane.columns.count :]:
            self._admit_to(lane, number)
        return lane

    def _forget_unwatched(self) -> None:
        lanes = self.lanes.values()
        self._remove([n for n in self.series.all() if all(lane.slot_of(n) == FREE for lane in lanes)])
        self.series.forget_unwatched()


def _wanted_by(watching: Sequence[tuple[LaneSpec, Lane]], key: bytes) -> list[Lane]:
    try:
        name, labels = parse_series_key(key)
    except ValueError:  # nothing of ours writes such a key
        return []
    return [lane for spec, lane in watching if spec.watches(name, labels)]


def make_flows(plan: Plan) -> dict[int, Flow]:
    """Empty flows for every lateness that some rule allows, the shortest first."""
    return {lateness_ms: Flow(lateness_ms) for lateness_ms in sorted({spec.flow for spec in plan.specs.values()})}


def stopped(lane: Lane, plan: Plan, at_ms: int, gone: str) -> list[Signal]:
    """End what rules of a lane have pending or firing that are `gone` under a plan, or about something else."""
    out: list[Signal] = []
    for judge in lane.judges.values():
        for owner, version in enumerate(judge.versions):
            if reason := _why_stopped(version, plan, gone):
                judge.stop(owner, at_ms, reason, lane.describe, out)
    return out


def _why_stopped(version: RuleVersion, plan: Plan, gone: str) -> str | None:
    now = plan.versions.get(version.rule.id)
    if now is None:
        return gone
    if not now.rule.enabled:
        return "rule disabled"
    return None if now.epoch == version.epoch else "rule changed"
