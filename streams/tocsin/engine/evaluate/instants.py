"""Rules without a window look at every sample, in event order."""

from collections.abc import Callable

import numpy as np

from tocsin.engine.evaluate.judge import Points, RuleVersion
from tocsin.engine.evaluate.lane import Lane, running_maximum, segments
from tocsin.engine.evaluate.plan import LaneSpec
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.schemas.signal import Evidence, Signal


class InstantLane(Lane):
    """Judges each sample; one that is older than another of its series, judged before, is late and only counted."""

    def __init__(self, spec: LaneSpec, rules: dict[str, list[RuleVersion]], series: SeriesTable) -> None:
        super().__init__(spec, rules, series, {})

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots = self.slots(samples.series)
        watched = slots >= 0
        if not watched.all():
            slots, samples = slots[watched], samples.take(watched)
        if not len(slots):
            return
        begins = segments(slots)
        unique = slots[begins[:-1]]
        floor = self.columns["last"][unique]
        before = running_maximum(samples.at_ms, begins, np.maximum(floor, -1))
        late = samples.at_ms < before
        if late.any():
            self.late += int(late.sum())
            slots, samples = slots[~late], samples.take(~late)
            if not len(slots):
                return
            begins = segments(slots)
            unique = slots[begins[:-1]]
        self.columns["last"][unique] = samples.at_ms[begins[1:] - 1]
        self.columns.touch(unique)
        points = Points(unique, begins, samples.at_ms, samples.values, self._evidence(samples))
        self.judge_all({"last": points}, out)

    def _evidence(self, samples: Samples) -> Callable[[int], Evidence]:
        def evidence(index: int) -> Evidence:
            at_ms = int(samples.at_ms[index])
            topic, partition = self.series.sources[int(samples.source[index])]
            return Evidence(
                metric=self.spec.metric,
                window=(at_ms, at_ms),
                samples=1,
                topic=topic,
                partition=partition,
                offset=int(samples.offsets[index]),
            )

        return evidence
