"""Watermarks: up to which event time each metrics topic has been read, and for how long we have listened to it.

Samples of one series may lie on all partitions of a topic (a producer without keys), and ingest reads partitions at
different speeds. So a sample is judged only when every partition of its topic has been read up to its time, or has
nothing left to read. A partition that is read to its end and silent for `idle_ms` follows the others with that delay.

Silence is measured in *listened* time: it goes on only while every partition of the topic is read to its end, and by
small steps. While we lag, are stopped, or a clock jumps, no time passes in which a series could count as silent.
Everything here is driven by what lies in the log (frames and ticks), never by a clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tocsin.engine.frame import Ints, SourceProgress, Tick
from tocsin.engine.ingest.step import UNSEEN_MS

EVERYTHING_MS = 2**62
_UNNAMED_MS = 60_000  # a topic that no tick named for so long was taken out of the settings


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a source partition may be silent before it holds nothing back, a series before its windows close, and
    an idle series before it is forgotten; `stride_ms` is the most that one tick can add to listened time."""

    idle_ms: int = 500
    quiet_ms: int = 5_000
    forget_ms: int = 86_400_000
    stride_ms: int = 1_000


@dataclass(slots=True)
class Source:
    """One source partition: what was applied of it, how far it has been read, how long it was listened to since.

    Times are sums of small steps between the ticks that name it, by the clock of the worker that reads it: workers'
    clocks may differ, or jump.
    """

    applied: int = -1  # highest source offset in this samples partition
    highest_ms: int = UNSEEN_MS
    position: int = -1
    lag: int = 1
    followed_ms: int = UNSEEN_MS
    clock_ms: int = 0  # of the last tick that named it
    turn: int = 0  # the number of that tick
    credit_ms: int = 0  # listened to, and not yet counted
    step_ms: int = 0  # between the last two ticks, as far as it counted
    still_ms: int = 0  # for how long it has been read to its end, and nothing came
    ahead_ms: int = UNSEEN_MS  # highest event time, also of samples from the future
    is_behind: bool = False  # the next tick that names it tells of time before the watermark rose
    past: deque[tuple[int, int]] = field(default_factory=deque)  # while still: how far the topic had been read when

    def figures(self) -> list[int]:
        """All but the past, in order."""
        return [getattr(self, name) for name in self.__slots__ if name != "past"]

    def step_to(self, clock_ms: int, stride_ms: int) -> int:
        """How much time a tick adds: at most a stride, and twice what the one before added, lest a jump of the clock
        count as the time of many ticks."""
        step_ms = min(max(clock_ms - self.clock_ms, 0), 2 * self.step_ms or stride_ms, stride_ms)
        self.step_ms = step_ms or self.step_ms
        return step_ms

    def follow(self, overall_ms: int, idle_ms: int) -> None:
        """A partition that has been still for `idle_ms` is taken to be as far as the topic was so long ago."""
        if overall_ms > (self.past[-1][1] if self.past else self.followed_ms):
            self.past.append((self.still_ms, overall_ms))
        while self.past and self.past[0][0] + idle_ms <= self.still_ms:
            self.followed_ms = max(self.followed_ms, self.past.popleft()[1])


@dataclass(slots=True)
class TopicProgress:
    """All partitions of one metrics topic."""

    partitions: int = 0  # 0: not known yet, so nothing may be judged
    sources: dict[int, Source] = field(default_factory=dict)
    listened_ms: int = 0
    named_ms: int = 0
    watermark_ms: int = UNSEEN_MS
    rose_ms: int = 0  # listened time at which the watermark last rose, at the latest
    turn: int = 0  # how many ticks there were

    def source(self, partition: int) -> Source:
        """The entry of one partition, made when first seen."""
        return self.sources.setdefault(partition, Source())

    def others_ms(self, partition: int) -> int:
        """The watermark as far as all partitions but one allow it."""
        if len(self.sources) < self.partitions or not self.partitions:
            return UNSEEN_MS
        return min(
            (max(source.highest_ms, source.followed_ms) for at, source in self.sources.items() if at != partition),
            default=EVERYTHING_MS,
        )

    def rising(self, partition: int, at_ms: Ints, clock_ms: int) -> Ints:
        """The watermark after each sample of one partition's run; notes the highest event time.

        A sample from the future counts as one of now: its producer's clock must not carry others' series along. Its own
        time counts once a tick says that it has come; else it would wait for ever if it was the last.
        """
        source = self.source(partition)
        self.named_ms = max(self.named_ms, clock_ms)
        own = np.maximum.accumulate(np.maximum(np.minimum(at_ms, clock_ms), max(source.highest_ms, source.followed_ms)))
        source.ahead_ms = max(source.ahead_ms, int(at_ms.max()))
        source.highest_ms = max(source.highest_ms, min(source.ahead_ms, clock_ms))
        return np.minimum(own, self.others_ms(partition))

    def apply(self, tick: Tick, topic: str, timing: Timing) -> int:
        """Take in a tick; returns the watermark after it."""
        self.partitions = tick.partitions[topic]
        self.named_ms, self.turn = tick.clock_ms, self.turn + 1
        for gone in [at for at in self.sources if at >= self.partitions]:
            del self.sources[gone]
        for seen in tick.sources:
            if seen.topic == topic:
                self._hear(self.source(seen.partition), seen, tick, timing)
        self._listen()
        watermark_ms = self.others_ms(-1)
        self._rise(watermark_ms)
        return watermark_ms

    def _rise(self, watermark_ms: int) -> None:
        """Note when the watermark rose, at the latest: of each partition, by the next tick that names it."""
        if watermark_ms > self.watermark_ms:
            self.watermark_ms, self.rose_ms = watermark_ms, self.partly_listened_ms()
            for source in self.sources.values():
                source.is_behind = True
        for source in self.sources.values():
            if source.is_behind and source.turn == self.turn:
                source.is_behind, self.rose_ms = False, self.partly_listened_ms()

    def _hear(self, source: Source, seen: SourceProgress, tick: Tick, timing: Timing) -> None:
        step_ms = source.step_to(tick.clock_ms, timing.stride_ms)
        is_still = seen.position == source.position and seen.lag == 0 == source.lag
        source.position = seen.position
        source.highest_ms = max(source.highest_ms, min(max(seen.highest_ms, source.ahead_ms), tick.clock_ms))
        source.credit_ms = min(source.credit_ms + step_ms, 2 * timing.stride_ms) if seen.lag == 0 == source.lag else 0
        source.lag, source.clock_ms, source.turn = seen.lag, tick.clock_ms, self.turn
        if is_still:
            # One tick alone, after a pause or a jump of the clock, never makes a partition idle.
            source.still_ms += min(step_ms, timing.idle_ms // 2)
            # What it tells may have been long under way: others may be where it cannot have seen them.
            overall_ms = max(each.highest_ms for each in self.sources.values())
            source.follow(min(overall_ms, tick.clock_ms), timing.idle_ms)
        else:
            source.still_ms = 0
            source.past.clear()

    def _listen(self) -> None:
        """Time passes as far as every partition was listened to, and no further than to the last tick of the one named
        longest ago: what else is known of that one lies before."""
        if not 0 < self.partitions <= len(self.sources):
            return
        if any(source.lag for source in self.sources.values()):
            for source in self.sources.values():
                source.credit_ms = 0
            return
        passed_ms = min(source.credit_ms for source in self.sources.values())
        self.listened_ms += passed_ms
        reached = min(source.turn for source in self.sources.values())
        for source in self.sources.values():
            source.credit_ms = source.credit_ms - passed_ms if source.turn > reached else 0

    def was_named(self, partition: int) -> bool:
        """Whether the last tick named a partition, or it is gone."""
        source = self.sources.get(partition)
        return source is None or source.turn == self.turn

    def partly_listened_ms(self) -> int:
        """How long some partition of it has been listened to: what came before the last tick that named its partition
        came no later than that."""
        return self.listened_ms + max((source.credit_ms for source in self.sources.values()), default=0)

    def idle_watermark(self) -> int:
        """Event time as it goes on while nothing comes: only for samples that wait out their rules' lateness."""
        if self.watermark_ms == UNSEEN_MS or any(source.lag for source in self.sources.values()):
            return UNSEEN_MS
        return self.watermark_ms + max(self.listened_ms - self.rose_ms, 0)

    def is_unnamed(self, clock_ms: int) -> bool:
        """Whether nothing has named this topic for long: it is no longer read."""
        return clock_ms - self.named_ms > _UNNAMED_MS

    def pack(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        sources = {at: s.figures() for at, s in self.sources.items()}
        past = {at: list(source.past) for at, source in self.sources.items()}
        return {
            "partitions": self.partitions, "sources": sources, "past": past, "listened_ms": self.listened_ms,
            "named_ms": self.named_ms, "watermark_ms": self.watermark_ms, "rose_ms": self.rose_ms, "turn": self.turn,
        }  # fmt: skip

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> "TopicProgress":
        """The inverse of `pack`."""
        sources = {int(at): Source(*fields) for at, fields in packed["sources"].items()}
        for at, past in packed["past"].items():
            sources[int(at)].past.extend((still_ms, overall_ms) for still_ms, overall_ms in past)
        times = (packed[name] for name in ("listened_ms", "named_ms", "watermark_ms", "rose_ms", "turn"))
        return cls(packed["partitions"], sources, *times)
