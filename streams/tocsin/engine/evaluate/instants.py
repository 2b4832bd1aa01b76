"""Rules without a window look at every sample, in event order."""

from collections.abc import Callable

from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.points import Points, running_maximum, segments
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.schemas.signal import Evidence, Signal


class InstantLane(Lane):
    """Judges each sample; one that is older than another of its series, judged before, is late and only counted."""

    def __init__(self, spec: LaneSpec, judged: Judged, series: SeriesTable) -> None:
        super().__init__(spec, judged, series, {})

    def take(self, samples: Samples, out: list[Signal]) -> None:
        """See Lane."""
        slots, samples = in_order(self, samples)
        if not len(slots):
            return
        begins = segments(slots)
        points = Points(slots[begins[:-1]], begins, samples.at_ms, samples.values, sample_evidence(self, samples))
        self.judge_all({"last": points}, out)


def in_order(lane: Lane, samples: Samples) -> tuple[Ints, Samples]:
    """The samples that a lane watches, without late ones, and their slots; notes the latest time of each slot."""
    slots = lane.slots(samples.series)
    watched = slots != FREE
    if not watched.all():
        slots, samples = slots[watched], samples.take(watched)
    if not len(slots):
        return slots, samples
    begins = segments(slots)
    unique = slots[begins[:-1]]
    late = samples.at_ms < running_maximum(samples.at_ms, begins, lane.columns["judged"][unique])
    if late.any():
        lane.note_late(samples.take(late))
        slots, samples = slots[~late], samples.take(~late)
        if not len(slots):
            return slots, samples
        begins = segments(slots)
        unique = slots[begins[:-1]]
    lane.columns["judged"][unique] = samples.at_ms[begins[1:] - 1]
    lane.columns.touch(unique)
    return slots, samples


def sample_evidence(lane: Lane, samples: Samples) -> Callable[[int], Evidence]:
    """A verdict on a single sample rests on where it lay."""

    def evidence(index: int) -> Evidence:
        at_ms = int(samples.at_ms[index])
        topic, partition = lane.series.sources[int(samples.source[index])]
        return Evidence(
            metric=lane.spec.metric,
            window=(at_ms, at_ms),
            samples=1,
            topic=topic,
            partition=partition,
            offset=int(samples.offsets[index]),
        )

    return evidence
