"""History through the engine: columns of samples in, alert events out, with event time as the only clock.

Live, evaluate looks for silence every second. Here most looks are left out: a silence is known by the sample that ends
it as well, and of series that do not come back one hears after some thousand samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.points import running_maximum, segments
from tocsin.engine.evaluate.series import Watch
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import Timing
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import format_instant
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

SECOND_MS: Final = 1_000
_AT_ONCE: Final = 2_048  # samples between two looks; every value of a series that is missed is gone through
# All time that passes is listened to, since nothing lags in a replay; and no series is forgotten.
_TIMING: Final = Timing(stride_ms=2**53, forget_ms=2**53)
_JOINT: Final = ("composite", "ratio", "burn_rate")


@dataclass(frozen=True, slots=True)
class Batch:
    """n samples in the order of the replay: the interner's numbers of their series, event times, values."""

    number: Ints
    at_ms: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.number)

    def part(self, begin: int, end: int) -> "Batch":
        """Some of them that follow each other."""
        return Batch(self.number[begin:end], self.at_ms[begin:end], self.values[begin:end])

    def take(self, chosen: NDArray[np.intp]) -> "Batch":
        """Some of them, by rising index."""
        return Batch(self.number[chosen], self.at_ms[chosen], self.values[chosen])


@dataclass(slots=True)
class Missed:
    """What one rule did not judge: samples that came too late, and series beyond its bound."""

    late: int = 0
    refused: int = 0


class Replay:
    """One run over history. Samples come in order of event time; `as_written` takes any order, as a consumer would see
    it, and looks for silence at every second in which some series pauses."""

    def __init__(
        self, rules: Iterable[Rule], interner: Interner, as_written: bool = False, watch: Watch | None = None
    ) -> None:
        self.rules = {rule.id: rule.model_copy(update={"notifications": ()}) for rule in rules}
        self._pipeline = Pipeline(self.rules.values(), timing=_TIMING)
        self._interner = interner
        self._lateness_ms = max((rule.lateness_ms for rule in self.rules.values()), default=0)
        patient = [rule for rule in self.rules.values() if _is_patient(rule)]
        self._is_patient, self._unrest_ms = bool(patient), max(map(_unrest_ms, patient), default=0)
        self._every_second = as_written or any(map(needs_every_second, self.rules.values()))
        self._pauses: _Pauses | None = None
        if as_written and not patient and not any(map(looks_at_others, self.rules.values())):
            self._pauses = _Pauses(max(map(_unrest_ms, self.rules.values()), default=0) + self._lateness_ms)
        self._begin_ms: int | None = None
        self._clock_ms = UNSEEN_MS  # of the last tick
        self.end_ms = UNSEEN_MS  # the highest event time
        self._pipeline.watch(watch)

    def take(self, batch: Batch) -> None:
        """Judge some more samples."""
        if self._pauses and len(batch):
            self._pauses.learn(batch, self._arrivals(batch))
        for begin in range(0, len(batch), _AT_ONCE):
            self._take(batch.part(begin, begin + _AT_ONCE))

    def _arrivals(self, batch: Batch) -> Ints:
        """When each sample comes: the last second before the highest event time so far."""
        return _seconds_before(np.maximum.accumulate(np.maximum(batch.at_ms, max(self.end_ms, 0))))

    def _take(self, batch: Batch) -> None:
        if self._begin_ms is None:
            self._begin_ms = _second_before(int(batch.at_ms[0]))
            self._jump(self._begin_ms)
        indexes, clocks = self._looks(batch)
        begins = [0, *indexes.tolist()]
        for place, (begin, end) in enumerate(zip(begins, [*begins[1:], len(batch)], strict=True)):
            if place:
                self._jump(int(clocks[place - 1]))
            if begin < end:
                self._feed(batch.part(begin, end))

    def drain(self) -> tuple[list[Signal], list[AlertEvent]]:
        """What the rules made of it since the last call; that a limit is met stands in `missed`."""
        pipeline = self._pipeline
        signals = [signal for signal in pipeline.signals if signal.notice is None]
        events = [event for event in pipeline.events if event.rule_id in self.rules]
        pipeline.signals, pipeline.events = [], []
        return signals, events

    def finish(self) -> None:
        """History is over: windows that ended by now are judged, open ones are not, and nobody waits for late samples.
        Silence after the last sample says nothing."""
        if self._begin_ms is None:
            return
        over_ms = _second_before(self.end_ms) + _TIMING.quiet_ms + self._lateness_ms + 2 * SECOND_MS
        if self._every_second or self._unrest_ms:
            for clock_ms in range(max(self._clock_ms, _second_before(self.end_ms)) + SECOND_MS, over_ms, SECOND_MS):
                self._jump(clock_ms)
        self._pipeline.finish()
        self._jump(over_ms)
        latest = format_instant(self.end_ms)
        self._pipeline.events = [
            event for event in self._pipeline.events if event.updated_at <= latest or not self._is_silence(event)
        ]

    def missed(self) -> dict[str, Missed]:
        """What each rule did not judge."""
        found = {rule_id: Missed() for rule_id in self.rules}
        for state in self._pipeline.states:
            for rule_id, number in state.late().items():
                found[rule_id].late += number
            for lane in state.lanes.values():
                for rule_id in {version.rule.id for version in lane.versions()}:
                    found[rule_id].refused += max(lane.refused.most, lane.refused.now.count())
        return found

    def _is_silence(self, event: AlertEvent) -> bool:
        rule = self.rules.get(event.rule_id)
        return event.reason == "no data" or (rule is not None and rule.condition == "absence")

    def _looks(self, batch: Batch) -> tuple[Ints, Ints]:
        """Before which samples to look for silence, and at which clock."""
        if not self._every_second:
            clocks = _seconds_before(batch.at_ms[-1:]) if self._is_patient else batch.at_ms[:0]
            clocks = clocks[clocks > self._clock_ms]
            return np.searchsorted(batch.at_ms, clocks, side="right"), clocks
        seconds = self._arrivals(batch)
        before = np.concatenate(([max(self._clock_ms, _second_before(self.end_ms))], seconds[:-1]))
        indexes = np.flatnonzero(seconds > before)
        if self._pauses:
            indexes = indexes[self._pauses.cover(seconds[indexes])]
        # And the seconds after the samples before, in which late ones are still waited for.
        unrest_ms = max(self._unrest_ms, self._lateness_ms + 2 * SECOND_MS)
        runs = [
            np.append(np.arange(begin + SECOND_MS, min(begin + unrest_ms + 1, end), SECOND_MS), end)
            for begin, end in zip(before[indexes].tolist(), seconds[indexes].tolist(), strict=True)
        ]
        if not runs:
            return indexes, indexes
        return np.repeat(indexes, [len(run) for run in runs]), np.concatenate(runs)

    def _feed(self, batch: Batch) -> None:
        self.end_ms = max(self.end_ms, int(batch.at_ms.max()))
        self._pipeline.take(self._interner, batch.number, batch.at_ms, batch.values, self.end_ms)

    def _jump(self, clock_ms: int) -> None:
        assert self._begin_ms is not None
        for state in self._pipeline.states:
            if not self._every_second:
                state.series.keep_time(self._begin_ms, SECOND_MS)
            for source in (source for topic in state.topics.values() for source in topic.sources.values()):
                source.step_ms = 0  # the next may be of any length: no clock jumps here by mistake
        self._clock_ms = clock_ms
        self._pipeline.jump(clock_ms)


class _Pauses:
    """The seconds in which some series pauses for so long that a look could close a window of it, and with that decide
    which samples come too late. Where there are none, looking changes nothing."""

    def __init__(self, unrest_ms: int) -> None:
        self._unrest_ms = unrest_ms  # after that all windows of a series are closed
        self._came, self._latest = np.empty(0, np.int64), np.empty(0, np.int64)  # when each last came, and how far
        self._begins, self._ends = np.empty(0, np.int64), np.empty(0, np.int64)

    def learn(self, batch: Batch, came_ms: Ints) -> None:
        """A batch that comes next; of what comes after it nothing is known, so whoever came last in it may pause."""
        missing = int(batch.number.max()) + 1 - len(self._came)
        if missing > 0:
            self._came = np.concatenate((self._came, np.full(missing, UNSEEN_MS)))
            self._latest = np.concatenate((self._latest, np.full(missing, UNSEEN_MS)))
        order = np.argsort(batch.number, kind="stable")
        number, came, at_ms = batch.number[order], came_ms[order], batch.at_ms[order]
        runs = segments(number)
        first, last = runs[:-1], runs[1:] - 1
        came_before = np.concatenate(([0], came[:-1]))
        came_before[first] = self._came[number[first]]
        latest = running_maximum(at_ms, runs, self._latest[number[first]])
        gap_ms = np.maximum(at_ms - latest, came - came_before)
        pauses = (came_before > UNSEEN_MS) & (gap_ms >= _TIMING.quiet_ms - SECOND_MS)
        self._came[number[last]] = came[last]
        np.maximum.at(self._latest, number, at_ms)
        seen = self._came[self._came > UNSEEN_MS]
        self._begins = np.concatenate((came_before[pauses], came[pauses], seen))
        self._ends = self._begins + self._unrest_ms

    def cover(self, seconds: Ints) -> NDArray[np.bool_]:
        """Which of some rising seconds lie in a pause."""
        change = np.zeros(len(seconds) + 1, np.int64)
        np.add.at(change, np.searchsorted(seconds, self._begins, side="left"), 1)
        np.add.at(change, np.searchsorted(seconds, self._ends, side="right"), -1)
        return np.asarray(np.cumsum(change[:-1]) > 0)


def _is_patient(rule: Rule) -> bool:
    """Whether silence means something to a rule."""
    return rule.condition == "absence" or rule.on_no_data != "keep"


def looks_at_others(rule: Rule) -> bool:
    """Whether a rule is about more than one series, or about one that may never have been seen."""
    expected = rule.absence is not None and rule.absence.expected
    return bool(rule.group_by or expected) or rule.condition in _JOINT


def needs_every_second(rule: Rule) -> bool:
    """Whether a look at every second could matter to a rule in more ways than are known here."""
    return looks_at_others(rule) or (_is_patient(rule) and rule.lateness_ms > 0)


def _unrest_ms(rule: Rule) -> int:
    """For how long after its last sample windows of a series still close."""
    if rule.window is None:
        return 0
    return rule.window.length_ms + rule.window.hop_ms + _TIMING.quiet_ms + 2 * SECOND_MS


def _seconds_before(at_ms: Ints) -> Ints:
    return np.asarray((at_ms - 1) // SECOND_MS * SECOND_MS)


def _second_before(at_ms: int) -> int:
    return (at_ms - 1) // SECOND_MS * SECOND_MS
