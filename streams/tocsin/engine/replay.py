"""History through the engine: columns of samples in, alert events out, with event time as the only clock.

Live, evaluate looks for silence every second. Here most looks are left out: time goes on at once to the last second
before a sample that ends a silence, so that the outcome is that of looking every second, at a fraction of the cost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.series import Watch
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import EVERYTHING_MS, Timing
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import format_instant
from tocsin.schemas.kinds import Absence
from tocsin.schemas.labels import parse_series_key
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

SECOND_MS: Final = 1_000
_TIMING: Final = Timing(stride_ms=2**53)  # all time that passes is listened to: nothing lags in a replay
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
    it, and then looks for silence at every second that has a sample."""

    def __init__(
        self, rules: Iterable[Rule], interner: Interner, as_written: bool = False, watch: Watch | None = None
    ) -> None:
        self.rules = {rule.id: rule.model_copy(update={"notifications": ()}) for rule in rules}
        self._pipeline = Pipeline(self.rules.values(), timing=_TIMING)
        self._interner = interner
        self._every_second = as_written or any(map(needs_every_second, self.rules.values()))
        self._lateness_ms = max((rule.lateness_ms for rule in self.rules.values()), default=0)
        self._patience = _Patience(self.rules.values(), interner)
        self._begin_ms: int | None = None
        self._clock_ms = UNSEEN_MS  # of the last tick
        self.end_ms = UNSEEN_MS  # the highest event time
        for state in self._pipeline.states:
            state.series.watch = watch

    def take(self, batch: Batch) -> None:
        """Judge some more samples."""
        if not len(batch):
            return
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
        if self._every_second or self._patience.longest_unrest_ms:
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
            for lane in state.lanes.values():
                for rule_id in {version.rule.id for judge in lane.judges.values() for version in judge.versions}:
                    found[rule_id].late += lane.late
                    found[rule_id].refused += max(lane.refused.most, lane.refused.now.count())
        return found

    def _is_silence(self, event: AlertEvent) -> bool:
        rule = self.rules.get(event.rule_id)
        return event.reason == "no data" or (rule is not None and rule.condition == "absence")

    def _looks(self, batch: Batch) -> tuple[Ints, Ints]:
        """Before which samples to look for silence, and at which clock."""
        if not self._every_second:
            clocks = self._patience.ends_of_silence(batch)
            clocks = clocks[clocks > self._clock_ms]
            return np.searchsorted(batch.at_ms, clocks, side="right"), clocks
        seconds = _seconds_before(np.maximum.accumulate(np.maximum(batch.at_ms, max(self.end_ms, 0))))
        before = np.concatenate(([self._clock_ms], seconds[:-1]))
        indexes = np.flatnonzero(seconds > before)
        # And the seconds after the samples before, in which late ones are still waited for.
        unrest_ms = max(self._patience.longest_unrest_ms, self._lateness_ms + 2 * SECOND_MS)
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


class _Patience:
    """For each series the shortest silence that means something to a rule, for how long windows go on closing in a
    silence, and when it was last seen."""

    def __init__(self, rules: Iterable[Rule], interner: Interner) -> None:
        self._by_metric: dict[str, tuple[int, int]] = {}
        for rule, patience_ms in _patient(rules):
            patience, unrest = self._by_metric.get(rule.metric_type, (EVERYTHING_MS, 0))
            self._by_metric[rule.metric_type] = min(patience, patience_ms), max(unrest, _unrest_ms(rule))
        self._interner = interner
        self._looked = UNSEEN_MS  # the end of the last batch
        self._patience, self._unrest, self._latest = (np.empty(0, np.int64) for _ in range(3))

    @property
    def longest_unrest_ms(self) -> int:
        """Of any series."""
        return max((unrest for _, unrest in self._by_metric.values()), default=0)

    def ends_of_silence(self, batch: Batch) -> Ints:
        """The last whole seconds before samples that end a silence, rising; and those at which a window closes in it,
        since that is judged again."""
        if not self._by_metric or not len(batch):
            return np.empty(0, np.int64)
        self._learn()
        order = np.argsort(batch.number, kind="stable")
        number, at_ms = batch.number[order], batch.at_ms[order]
        first = np.concatenate(([True], number[1:] != number[:-1]))
        last = np.concatenate((first[1:], [True]))
        before = np.concatenate(([0], at_ms[:-1]))
        before[first] = self._latest[number[first]]
        self._latest[number[last]] = at_ms[last]
        ends, begins = _seconds_before(at_ms), _seconds_before(before)
        silent = (before > UNSEEN_MS) & (ends - begins >= self._patience[number])
        ends, begins, number = ends[silent], begins[silent], number[silent]
        return np.unique(np.concatenate((ends, *self._closing(begins, ends, number), *self._still_silent(batch))))

    def _still_silent(self, batch: Batch) -> list[Ints]:
        """For series that may never come back the batch ends their silence, as far as windows close in it."""
        looked, self._looked = self._looked, int(_seconds_before(batch.at_ms[-1]))
        begins, last = _seconds_before(self._latest), self._looked
        number = np.flatnonzero((begins + self._patience <= last) & (begins + self._unrest > looked))
        return self._closing(begins[number], np.full(len(number), last), number)

    def _closing(self, begins: Ints, ends: Ints, number: Ints) -> list[Ints]:
        """Every second of silences in which a rule hears of the silence while windows still close."""
        found = []
        for place in np.flatnonzero(self._unrest[number] > self._patience[number]).tolist():
            begin, at = int(begins[place]), int(number[place])
            until = min(begin + int(self._unrest[at]), int(ends[place]) + 1)
            found.append(_seconds_before(np.arange(begin + self._patience[at], until, SECOND_MS)) + SECOND_MS)
            found[-1] = found[-1][found[-1] <= ends[place]]
        return found

    def _learn(self) -> None:
        """Series that are new since the last call."""
        fresh = self._interner.keys[len(self._patience) :]
        if fresh:
            found = [self._by_metric.get(_metric(key), (EVERYTHING_MS, 0)) for key in fresh]
            self._patience = np.concatenate((self._patience, np.array([patience for patience, _ in found], np.int64)))
            self._unrest = np.concatenate((self._unrest, np.array([unrest for _, unrest in found], np.int64)))
            self._latest = np.concatenate((self._latest, np.full(len(fresh), UNSEEN_MS)))


def _metric(key: bytes) -> str:
    return parse_series_key(key)[0]


def _patient(rules: Iterable[Rule]) -> Iterator[tuple[Rule, int]]:
    for rule in rules:
        if isinstance(rule.settings, Absence):
            yield rule, SECOND_MS if rule.settings.after is None else rule.settings.after
        if rule.on_no_data != "keep":
            yield rule, rule.no_data_after


def looks_at_others(rule: Rule) -> bool:
    """Whether a rule is about more than one series, or about one that may never have been seen."""
    expected = rule.absence is not None and rule.absence.expected
    return bool(rule.group_by or expected) or rule.condition in _JOINT


def needs_every_second(rule: Rule) -> bool:
    """Whether a look at every second could matter to a rule in more ways than are known here."""
    is_patient = next(_patient([rule]), None) is not None
    return looks_at_others(rule) or (is_patient and rule.lateness_ms > 0)


def _unrest_ms(rule: Rule) -> int:
    """For how long after its last sample windows of a series still close."""
    if rule.window is None:
        return 0
    return rule.window.length_ms + rule.window.hop_ms + _TIMING.quiet_ms + 2 * SECOND_MS


def _seconds_before(at_ms: Ints) -> Ints:
    return np.asarray((at_ms - 1) // SECOND_MS * SECOND_MS)


def _second_before(at_ms: int) -> int:
    return (at_ms - 1) // SECOND_MS * SECOND_MS
