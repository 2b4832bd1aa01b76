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

from tocsin.engine.frame import Ints, Tick
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
    """One source partition: what was applied of it, how far it has been read, how long it was listened to since."""

    applied: int = -1  # highest source offset in this samples partition
    highest_ms: int = UNSEEN_MS
    position: int = -1
    lag: int = 1
    moved_ms: int = 0  # clock at which its position last changed
    followed_ms: int = UNSEEN_MS
    heard_ms: int = 0  # clock of the last tick that named it
    credit_ms: int = 0
    ahead_ms: int = UNSEEN_MS  # highest event time, also of samples from the future


@dataclass(slots=True)
class TopicProgress:
    """All partitions of one metrics topic."""

    partitions: int = 0  # 0: not known yet, so nothing may be judged
    sources: dict[int, Source] = field(default_factory=dict)
    past: deque[tuple[int, int]] = field(default_factory=deque)  # (clock, highest event time that was reached then)
    listened_ms: int = 0
    named_ms: int = 0

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
        own = np.maximum.accumulate(np.maximum(np.minimum(at_ms, clock_ms), max(source.highest_ms, source.followed_ms)))
        source.ahead_ms = max(source.ahead_ms, int(at_ms.max()))
        source.highest_ms = max(source.highest_ms, min(source.ahead_ms, clock_ms))
        return np.minimum(own, self.others_ms(partition))

    def apply(self, tick: Tick, topic: str, timing: Timing) -> int:
        """Take in a tick; returns the watermark after it."""
        self.partitions = tick.partitions[topic]
        self.named_ms = tick.clock_ms
        for gone in [at for at in self.sources if at >= self.partitions]:
            del self.sources[gone]
        named = [seen for seen in tick.sources if seen.topic == topic]
        for seen in named:
            self._hear(self.source(seen.partition), seen.position, seen.highest_ms, seen.lag, tick, timing)
        self._listen()
        then = self._reached(tick.clock_ms - timing.idle_ms, tick.clock_ms)
        for source in [self.sources[seen.partition] for seen in named]:  # of others nobody says that they are idle
            if source.lag == 0 and source.moved_ms <= tick.clock_ms - timing.idle_ms:
                source.followed_ms = max(source.followed_ms, then)
        return self.others_ms(-1)

    def _hear(self, source: Source, position: int, highest_ms: int, lag: int, tick: Tick, timing: Timing) -> None:
        if position != source.position:
            source.position, source.moved_ms = position, tick.clock_ms
        source.highest_ms = max(source.highest_ms, min(max(highest_ms, source.ahead_ms), tick.clock_ms))
        if lag == 0 and source.lag == 0:
            source.credit_ms += min(max(tick.clock_ms - source.heard_ms, 0), timing.stride_ms)
        else:
            source.credit_ms = 0
        source.lag, source.heard_ms = lag, tick.clock_ms

    def _listen(self) -> None:
        """Time passes as far as every partition was listened to."""
        if not 0 < self.partitions <= len(self.sources):
            return
        if any(source.lag for source in self.sources.values()):
            for source in self.sources.values():
                source.credit_ms = 0
            return
        heard = min(source.credit_ms for source in self.sources.values())
        self.listened_ms += heard
        for source in self.sources.values():
            source.credit_ms -= heard

    def _reached(self, until_ms: int, clock_ms: int) -> int:
        """The highest event time of all partitions as it was at a clock; notes the present one."""
        overall = max((source.highest_ms for source in self.sources.values()), default=UNSEEN_MS)
        if not self.past:
            self.past.append((max(clock_ms, overall), overall))
        elif overall > self.past[-1][1]:
            # A tick that was long under way, or of a slow clock, does not say that it was reached before.
            self.past.append((max(clock_ms, self.past[-1][0], overall), overall))
        while len(self.past) > 1 and self.past[1][0] <= until_ms:
            self.past.popleft()
        return self.past[0][1] if self.past[0][0] <= until_ms else UNSEEN_MS

    def idle_watermark(self, clock_ms: int) -> int:
        """Event time as it goes on while nothing comes: only for samples that wait out their rules' lateness."""
        if not self.past or not 0 < self.partitions <= len(self.sources):
            return UNSEEN_MS
        if any(source.lag for source in self.sources.values()):
            return UNSEEN_MS
        # Only as far as every partition was heard to have nothing left: of one that nobody reads nothing is known.
        heard_ms = min(clock_ms, *(source.heard_ms for source in self.sources.values()))
        for reached_at, highest in reversed(self.past):
            if reached_at <= heard_ms and highest > UNSEEN_MS:
                return highest + heard_ms - reached_at
        return UNSEEN_MS

    @property
    def has_data(self) -> bool:
        """Whether any sample was ever seen."""
        return bool(self.past) and self.past[-1][1] > UNSEEN_MS

    def is_unnamed(self, clock_ms: int) -> bool:
        """Whether no tick has named this topic for long: it is no longer read."""
        return clock_ms - self.named_ms > _UNNAMED_MS

    def pack(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        sources = {
            at: [
                s.applied, s.highest_ms, s.position, s.lag, s.moved_ms, s.followed_ms, s.heard_ms, s.credit_ms,
                s.ahead_ms,
            ]
            for at, s in self.sources.items()
        }  # fmt: skip
        past = list(self.past)
        return {
            "partitions": self.partitions, "sources": sources, "past": past,
            "listened_ms": self.listened_ms, "named_ms": self.named_ms,
        }  # fmt: skip

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> "TopicProgress":
        """The inverse of `pack`."""
        sources = {int(at): Source(*fields) for at, fields in packed["sources"].items()}
        past = deque((clock, highest) for clock, highest in packed["past"])
        return cls(packed["partitions"], sources, past, packed["listened_ms"], packed["named_ms"])
