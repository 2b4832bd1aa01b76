"""A flow: lanes whose rules wait equally long for late samples, and the samples that wait with them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from tocsin.engine.evaluate.lane import FREE, Lane
from tocsin.engine.evaluate.plan import UNORDERED
from tocsin.engine.evaluate.samples import Samples, release
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.watermark import EVERYTHING_MS
from tocsin.schemas.signal import Signal


@dataclass(slots=True)
class Flow:
    """Samples are held until the watermark is `lateness_ms` past them, then judged in order of event time. Only where
    nothing is waited for, series that lie on one partition in order go straight on, and where lanes need no order, all
    of them."""

    lateness_ms: int
    lanes: dict[str, Lane] = field(default_factory=dict)
    waiting: dict[str, Samples] = field(default_factory=dict)  # by topic
    ready: list[Samples] = field(default_factory=list)

    def take(
        self, topic: str, samples: Samples, arrival: Ints, rising_ms: Ints, series: SeriesTable, home: int | None
    ) -> None:
        """Samples of one run; `rising_ms` is the watermark after each of them, `arrival` their place in it. `home` is
        the source whose series need not wait for other partitions, if this run's producer keeps them on one."""
        if self.lateness_ms == UNORDERED:
            self.ready.append(samples)
            return
        if self.lateness_ms == 0 and home is not None:
            direct = series.columns["home"][samples.series] == home
            waiting = self.waiting.get(topic)
            if direct.all() and not (waiting is not None and len(waiting)):
                self.ready.append(samples)
                return
            if direct.any():
                self.ready.append(samples.take(direct))
                samples, arrival = samples.take(~direct), arrival[~direct]
        if self.lateness_ms:
            watched = self._watched(samples.series)
            if not watched.all():
                samples, arrival = samples.take(watched), arrival[watched]
        self._release(topic, samples, rising_ms, arrival)

    def _watched(self, numbers: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        found = np.zeros(len(numbers), bool)
        for lane in self.lanes.values():
            found |= lane.slots(numbers) != FREE
        return found

    def _release(self, topic: str, fresh: Samples, rising_ms: Ints, arrival: Ints) -> None:
        waiting = self.waiting.get(topic) or Samples.none()
        due_ms = np.concatenate((waiting.at_ms, fresh.at_ms)) + self.lateness_ms
        released, self.waiting[topic] = release(waiting, fresh, due_ms, rising_ms, arrival)
        if len(released):
            self.ready.append(released)

    def advance(self, topic: str, watermark_ms: int) -> None:
        """The watermark of a topic rose."""
        waiting = self.waiting.get(topic)
        if waiting is not None and len(waiting):
            self._release(topic, Samples.none(), np.array([watermark_ms], np.int64), np.empty(0, np.int64))

    def drop(self, numbers: Ints) -> None:
        """Nobody watches these series any more."""
        for topic, waiting in self.waiting.items():
            if len(waiting):
                self.waiting[topic] = waiting.take(~np.isin(waiting.series, numbers))

    def until_ms(self, reached_ms: Callable[[str], int]) -> int:
        """Before this event time nothing waits, nor may anything come that belongs between what does; `reached_ms`
        gives the watermark of a topic."""
        return min(
            (
                min(int(waiting.at_ms.min()), reached_ms(topic) - self.lateness_ms)
                for topic, waiting in self.waiting.items()
                if len(waiting)
            ),
            default=EVERYTHING_MS,
        )

    def due_ms(self) -> int:
        """The watermark at which the first sample that waits may be judged."""
        found = (int(waiting.at_ms.min()) for waiting in self.waiting.values() if len(waiting))
        return min(found, default=EVERYTHING_MS) + self.lateness_ms

    def judge(self, series: SeriesTable, out: list[Signal]) -> None:
        """Let the lanes look at what is ready, grouped by series."""
        if not self.ready:
            return
        samples, self.ready = Samples.join(self.ready), []
        narrow = samples.series.astype(np.uint16) if series.columns.count < 2**16 else samples.series
        samples = samples.take(np.argsort(narrow, kind="stable"))
        for lane in self.lanes.values():
            lane.hear(samples, out)

    def pack(self) -> bytes:
        """The waiting samples, for a checkpoint."""
        return msgspec.msgpack.encode({name: waiting.pack() for name, waiting in self.waiting.items() if len(waiting)})

    def unpack(self, value: bytes) -> None:
        """The inverse of `pack`."""
        packed: dict[str, dict[str, bytes]] = msgspec.msgpack.decode(value)
        self.waiting = {name: Samples.unpack(columns) for name, columns in packed.items()}
