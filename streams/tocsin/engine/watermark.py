"""Watermarks: up to which event time each metrics topic has been read.

Samples of one series may lie on all partitions of a topic (a producer without keys), and ingest reads partitions at
different speeds. So a sample is judged only when every partition of its topic has been read up to its time, or has
nothing left to read. A partition that is read to its end and silent for `idle_ms` follows the others with that delay.
Everything here is driven by what lies in the log (frames and ticks), never by a clock.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tocsin.engine.frame import Ints, Tick
from tocsin.engine.ingest.step import UNSEEN_MS

EVERYTHING_MS = 2**62


@dataclass(slots=True)
class Source:
    """One source partition: what was applied of it, and how far it has been read."""

    applied: int = -1  # highest source offset in this samples partition
    highest_ms: int = UNSEEN_MS
    position: int = -1
    lag: int = 1
    moved_ms: int = 0  # clock at which its position last changed
    followed_ms: int = UNSEEN_MS


@dataclass(slots=True)
class TopicProgress:
    """All partitions of one metrics topic."""

    partitions: int = 0  # 0: not known yet, so nothing may be judged
    sources: dict[int, Source] = field(default_factory=dict)
    past: deque[tuple[int, int]] = field(default_factory=deque)  # (clock, highest event time then)

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

    def rising(self, partition: int, at_ms: Ints) -> Ints:
        """The watermark after each sample of one partition's run; notes the highest event time."""
        source = self.source(partition)
        own = np.maximum.accumulate(np.maximum(at_ms, max(source.highest_ms, source.followed_ms)))
        source.highest_ms = max(source.highest_ms, int(at_ms.max()))
        return np.minimum(own, self.others_ms(partition))

    def caught_up(self) -> bool:
        """Whether every partition is known and was read to its end."""
        return 0 < self.partitions <= len(self.sources) and all(source.lag == 0 for source in self.sources.values())

    def apply(self, tick: Tick, topic: str, idle_ms: int) -> int:
        """Take in a tick; returns the watermark after it."""
        self.partitions = tick.partitions.get(topic, self.partitions)
        for seen in tick.sources:
            if seen.topic != topic:
                continue
            source = self.source(seen.partition)
            if seen.position != source.position:
                source.position, source.moved_ms = seen.position, tick.clock_ms
            source.highest_ms, source.lag = max(source.highest_ms, seen.highest_ms), seen.lag
        overall = max((source.highest_ms for source in self.sources.values()), default=UNSEEN_MS)
        self.past.append((tick.clock_ms, overall))
        then = UNSEEN_MS
        while self.past and self.past[0][0] <= tick.clock_ms - idle_ms:
            then = self.past[0][1]
            if len(self.past) > 1 and self.past[1][0] <= tick.clock_ms - idle_ms:
                self.past.popleft()
            else:
                break
        for source in self.sources.values():
            if source.lag == 0 and source.moved_ms <= tick.clock_ms - idle_ms:
                source.followed_ms = max(source.followed_ms, then)
        return self.others_ms(-1)

    def pack(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        sources = {
            at: [s.applied, s.highest_ms, s.position, s.lag, s.moved_ms, s.followed_ms]
            for at, s in self.sources.items()
        }
        return {"partitions": self.partitions, "sources": sources, "past": list(self.past)}

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> "TopicProgress":
        """The inverse of `pack`."""
        sources = {int(at): Source(*fields) for at, fields in packed["sources"].items()}
        past = deque((clock, highest) for clock, highest in packed["past"])
        return cls(packed["partitions"], sources, past)
