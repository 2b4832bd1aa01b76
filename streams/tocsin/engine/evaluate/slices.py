"""Windows for which the samples themselves are kept: sliding ones, which end at every sample, and counts of samples."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tocsin.engine.evaluate.instants import in_order
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import Run, Span
from tocsin.engine.evaluate.statistics import statistic_of, statistics_of
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.signal import Evidence, Signal
from tocsin.schemas.window import MAX_COUNT

_AT_ONCE: Final = 200_000  # samples unrolled into overlapping windows at a time


class SliceLane(Lane):
    """Samples that later windows need are kept by slot, in order: `kept` slots, times and values."""

    leaves_out_begin = False  # whether a sample at the very begin of a window is not in it

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        super().__init__(spec, judged, series, {"began": ("i8", 0, -1)})
        self._slots_kept = np.empty(0, np.int64)
        self._at_kept = np.empty(0, np.int64)
        self._values_kept = np.empty(0, np.float64)

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        fresh = self.columns["began"][slots] < 0
        self.columns["began"][slots[fresh][::-1]] = samples.at_ms[fresh][::-1]
        own = np.zeros(self.columns.count, bool)
        own[slots] = True
        mine = own[self._slots_kept]
        owner = np.concatenate((self._slots_kept[mine], slots))
        order = np.argsort(owner, kind="stable")
        owner = owner[order]
        at_ms = np.concatenate((self._at_kept[mine], samples.at_ms))[order]
        values = np.concatenate((self._values_kept[mine], samples.values))[order]
        is_new = np.concatenate((np.zeros(int(mine.sum()), bool), np.ones(len(slots), bool)))[order]
        begins, ends, keep = self.windows(owner, at_ms, is_new)
        for some in np.array_split(np.arange(len(begins)), int((ends - begins).sum()) // _AT_ONCE + 1):
            if len(some):
                self._judge_slices(owner, at_ms, values, begins[some], ends[some], out)
        self._keep(~mine, owner[keep], at_ms[keep], values[keep])

    def _keep(self, others: NDArray[np.bool_], owner: Ints, at_ms: Ints, values: Floats) -> None:
        slots = np.concatenate((self._slots_kept[others], owner))
        order = np.argsort(slots, kind="stable")
        self._slots_kept = slots[order]
        self._at_kept = np.concatenate((self._at_kept[others], at_ms))[order]
        self._values_kept = np.concatenate((self._values_kept[others], values))[order]

    @abstractmethod
    def windows(self, owner: Ints, at_ms: Ints, is_new: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Where windows that are complete now begin and end (indexes), and which samples later ones need."""

    @abstractmethod
    def begin_ms(self, first_ms: Ints, last_ms: Ints) -> Ints:
        """Where windows begin whose first and last samples have these times; they end at the last one, inclusive."""

    def _judge_slices(
        self, owner: Ints, at_ms: Ints, values: Floats, begins: Ints, ends: Ints, out: list[Signal]
    ) -> None:
        counts = ends - begins
        first = np.concatenate(([0], np.cumsum(counts)[:-1]))
        index = np.arange(int(counts.sum())) - np.repeat(first, counts) + np.repeat(begins, counts)
        run = Run(at_ms[index], values[index], np.repeat(np.arange(len(begins)), counts), first)
        last_ms = at_ms[ends - 1]
        begin_ms = self.begin_ms(at_ms[begins], last_ms)
        span = Span(begin_ms, last_ms, counts)
        statistics = statistics_of(self.aggregates)
        figures: dict[str, NDArray[Any]] = {}
        for statistic in statistics.values():
            held = {
                name: np.full((len(begins), width) if width else len(begins), initial, dtype=kind)
                for name, (kind, width, initial) in statistic.figures.items()
            }
            figures |= {name: found[:, None] for name, found in statistic.fold(run, held).items()}
        slots = owner[ends - 1]
        runs = segments(slots)
        evidence = self._evidence(begin_ms, last_ms, counts)
        points = {
            name: Points(slots[runs[:-1]], runs, last_ms, answer, evidence)
            for name, answer in self._answers(figures, span).items()
        }
        whole = np.flatnonzero(self.columns["began"][slots] <= begin_ms)
        if any(source.full for source in self.sources.values()):
            points |= {f"{name}/full": found.take(whole) for name, found in points.items()}
        self.judge_all(points, out)

    def _answers(self, figures: dict[str, NDArray[Any]], span: Span) -> dict[str, Floats]:
        return {name: statistic_of(name).answer(name, figures, span) for name in self.aggregates}

    def _evidence(self, begin: Ints, last: Ints, counts: Ints) -> Callable[[int], Evidence]:
        metric, left_out = self.spec.metric, self.leaves_out_begin
        return lambda index: Evidence(
            metric=metric, window=(int(begin[index]) + left_out, int(last[index]) + 1), samples=int(counts[index])
        )

    def dismiss(self, number: int) -> None:
        """See Lane."""
        others = self._slots_kept != self.slot_of(number)
        nothing = np.empty(0, np.int64)
        self._keep(others, nothing, nothing, np.empty(0, np.float64))
        super().dismiss(number)

    def pack_more(self, first: int, end: int) -> dict[str, Any]:
        """See Lane."""
        low, high = np.searchsorted(self._slots_kept, (first, end))
        kept = (self._slots_kept, self._at_kept, self._values_kept)
        return {"kept": [array[low:high].tobytes() for array in kept]}

    def unpack_more(self, packed: dict[str, Any]) -> None:
        """See Lane."""
        slots, at_ms, values = packed["kept"]
        self._slots_kept = np.concatenate((self._slots_kept, np.frombuffer(slots, np.int64)))
        self._at_kept = np.concatenate((self._at_kept, np.frombuffer(at_ms, np.int64)))
        self._values_kept = np.concatenate((self._values_kept, np.frombuffer(values, np.float64)))


class SlidingLane(SliceLane):
    """A window ends at every sample and reaches back `size`: (at - size, at]. At most 10,000 samples are kept a slot;
    of more the oldest are left out."""

    leaves_out_begin = True

    def windows(self, owner: Ints, at_ms: Ints, is_new: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """See SliceLane."""
        assert self.spec.window is not None
        size = self.spec.window.length_ms
        runs = segments(owner)
        lengths = np.diff(runs)
        span = int(at_ms.max()) - int(at_ms.min()) + 1
        keys = at_ms - int(at_ms.min()) + np.repeat(np.arange(len(lengths)), lengths) * span
        begins = np.maximum(np.searchsorted(keys, keys - size, side="right"), np.repeat(runs[:-1], lengths))
        ends = np.arange(1, len(owner) + 1)
        begins = np.maximum(begins, ends - MAX_COUNT)
        needed_from = np.repeat(begins[runs[1:] - 1], lengths)
        keep = np.arange(len(owner)) >= needed_from
        return begins[is_new], ends[is_new], keep

    def begin_ms(self, first_ms: Ints, last_ms: Ints) -> Ints:
        """See SliceLane."""
        assert self.spec.window is not None
        return last_ms - self.spec.window.length_ms


class CountLane(SliceLane):
    """A window holds a number of samples; the next begins after it."""

    def windows(self, owner: Ints, at_ms: Ints, is_new: NDArray[np.bool_]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """See SliceLane."""
        assert self.spec.window is not None
        wanted = self.spec.window.samples
        assert wanted is not None
        runs = segments(owner)
        place = np.arange(len(owner)) - np.repeat(runs[:-1], np.diff(runs))
        complete = np.repeat(np.diff(runs) // wanted * wanted, np.diff(runs))
        ends = np.flatnonzero(place % wanted == wanted - 1) + 1
        return ends - wanted, ends, place >= complete

    def begin_ms(self, first_ms: Ints, last_ms: Ints) -> Ints:
        """See SliceLane."""
        return first_ms
