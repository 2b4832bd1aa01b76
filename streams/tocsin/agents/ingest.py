"""The ingest agent: runs of a metrics topic become frames on `samples`, and ticks carry time and progress there.

May block: on Kafka's acknowledgements, when more than `_IN_FLIGHT` runs are under way. Back-pressure: then nothing is
taken from Faust, whose consumer stops fetching. Revocation: what is not acknowledged is not committed; the next owner
makes the same samples again, and evaluate drops those it has.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from faust.types import TP

from tocsin.agents.clock import clock_ms
from tocsin.agents.dead_letter import Message, dead_letter
from tocsin.agents.metric_parts import parts
from tocsin.agents.outbox import Outbox, Sent
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.run_table import Output
from tocsin.agents.transport import BatchApp
from tocsin.engine import frame
from tocsin.engine.frame import SourceProgress, Tick
from tocsin.engine.ingest.codecs import CODECS
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import UNSEEN_MS, DeadLetter, Ingested, Reading

_IN_FLIGHT: Final = 64
_TOGETHER: Final = 8  # runs at most that wait for each other
_RUN_BYTES: Final = 2**21
_ON_ITS_WAY_S: Final = 0.1  # ample for the way of a run from the consumer's thread to `take`


@dataclass(frozen=True, slots=True)
class _Held:
    """A run that was taken and is not sent on yet."""

    tp: TP
    position: int
    highest_ms: int
    outputs: list[Output]


@dataclass(slots=True)
class _Progress:
    """What a tick tells of a source partition."""

    position: int
    highest_ms: int = UNSEEN_MS
    taking: bool = False


class Ingest:
    """Ingest of one worker: all source partitions that Faust assigned to it."""

    def __init__(self, app: BatchApp, outbox: Outbox, samples_topic: str, dlq_topic: str, max_ahead_ms: int) -> None:
        self._app = app
        self._outbox = outbox
        self._samples, self._dlq = samples_topic, dlq_topic
        self._max_ahead_ms = max_ahead_ms
        self._interner: Interner | None = None
        self._partitions = 0
        self._progress: dict[TP, _Progress] = {}
        self._stood: dict[TP, tuple[int | None, float]] = {}
        self._held: list[_Held] = []
        self._sending = asyncio.Lock()
        self._ticks: list[Sent] = []
        self._in_flight: deque[tuple[TP, int, list[Sent]]] = deque()
        self.taken = 0
        self.refused = 0

    async def start(self) -> None:
        """Learn how many partitions there are to spread over."""
        self._partitions = await self._outbox.partitions(self._samples)
        self._interner = Interner(self._partitions)

    async def take(self, tp: TP, batches: Sequence[RecordBatch]) -> None:
        """Ingest one fetched run. What was fetched together goes on together: in one request to Kafka, and to become
        one run of each samples partition."""
        outputs, highest_ms = list[Output](), UNSEEN_MS
        progress = self._progress.setdefault(tp, _Progress(batches[0].first))
        progress.taking = True
        for done in self._ingested(tp, batches):
            for partition, frames in done.frames.items():
                outputs += [Output(self._samples, None, frame.encode(made), [], partition) for made in frames]
            outputs += [self._bury(dead) for dead in done.dead]
            highest_ms = max(highest_ms, done.highest_ms)
            self.taken += done.samples
        self._held.append(_Held(tp, batches[-1].offset + 1, highest_ms, outputs))
        if len(self._held) >= _TOGETHER or not self._app.committable.has_waiting_of(tp.topic):
            await self._send_on()
            await self._settle()

    async def _send_on(self) -> None:
        """Send what is held, in order, and only then count it as read."""
        async with self._sending:
            held, self._held = self._held, []
            try:
                parcels = await self._outbox.post([output for one in held for output in one.outputs])
            except BaseException:
                self._held = [*held, *self._held]  # nothing that was read behind it may be committed before it is sent
                raise
            sent = [parcel.sent for parcel in parcels]
            for one in held:
                self._in_flight.append((one.tp, one.position, sent))
                if progress := self._progress.get(one.tp):
                    progress.highest_ms = max(progress.highest_ms, one.highest_ms)
                    progress.position = one.position
                    progress.taking = any(other.tp == one.tp for other in self._held)

    def _ingested(self, tp: TP, batches: Sequence[RecordBatch]) -> Iterator[Ingested]:
        """What parts of bounded size come to, since a frame must fit into one record."""
        reading, size_bytes = self._reading(tp), 0
        for part in parts(tp, batches):
            if size_bytes + part.size_bytes > _RUN_BYTES:
                yield reading.cut()
                reading, size_bytes = self._reading(tp), 0
            size_bytes += part.size_bytes
            if isinstance(part.what, DeadLetter):
                reading.bury(part.what)
            else:
                reading.read(part.what, CODECS["json"])
        yield reading.cut()

    def _reading(self, tp: TP) -> Reading:
        assert self._interner is not None, "take before start"
        return Reading(self._interner, (tp.topic, tp.partition), clock_ms(), self._max_ahead_ms)

    async def _settle(self) -> None:
        """Let offsets be committed whose frames are on Kafka, in order."""
        while self._in_flight:
            first = tp, position, sent = self._in_flight[0]
            if len(self._in_flight) <= _IN_FLIGHT and not all(future.done() for future in sent):
                return
            await self._outbox.acknowledged(sent)
            if not self._in_flight or self._in_flight[0] is not first:
                continue  # a tick and a run wait for the same frames, and the other was first
            self._in_flight.popleft()
            if tp in self._progress:
                self._app.committable.offsets[tp] = position

    def _bury(self, dead: DeadLetter) -> Output:
        self.refused += 1
        message = Message(dead.topic, dead.partition, dead.offset, dead.key, dead.value, dead.at_ms, dead.headers)
        return dead_letter(self._dlq, "ingest", dead.reject.reason, dead.reject.detail, message)

    async def tick(self, rules_offset: int, topics: Sequence[str]) -> None:
        """Tell every samples partition the time, and how far this worker has read its source partitions."""
        await self._send_on()
        await self._settle()
        await self._check_ticks()
        counts = {topic: await self._outbox.partitions(topic) for topic in topics}
        owned = [tp for tp in self._app.consumer.assignment() if tp.topic in counts]
        sources = [await self._source(tp) for tp in owned]
        value = frame.encode(Tick(clock_ms(), rules_offset, tuple(sources), counts))
        for partition in range(self._partitions):
            self._ticks.append(await self._outbox.send(self._samples, value, partition=partition))

    async def _check_ticks(self) -> None:
        """Raises what became of those before: where no samples come, nothing else says that they do not arrive."""
        done = [one for one in self._ticks if one.done()]
        self._ticks = [one for one in self._ticks if not one.done()]
        await self._outbox.acknowledged(done)

    async def _source(self, tp: TP) -> SourceProgress:
        read = await self._read_up_to(tp)
        progress = self._progress.get(tp)
        if progress is None:
            if read is None:
                return SourceProgress(tp.topic, tp.partition, -1, UNSEEN_MS, 1)
            progress = _Progress(read)
        # The markers that end transactions lie behind the last message, and are read past without being taken.
        position = max(progress.position, read or 0)
        end: int | None = self._app.consumer.highwater(tp)
        lag = 1 if end is None else max(0, end - position)
        return SourceProgress(tp.topic, tp.partition, position, progress.highest_ms, lag)

    async def _read_up_to(self, tp: TP) -> int | None:
        """Kafka's position, if everything before it was taken; it counts a run as read that is on its way here.

        A position that stood still from one tick to the next, with nothing waiting, is one that was read up to.
        """
        position: int | None = await self._app.consumer.position(tp)
        now_s = time.monotonic()
        stood, since_s = self._stood.get(tp, (None, now_s))
        if position != stood:
            since_s = now_s
        self._stood[tp] = position, since_s
        progress = self._progress.get(tp)
        is_busy = self._app.committable.has_waiting(tp) or (progress is not None and progress.taking)
        return None if is_busy or position != stood or now_s - since_s < _ON_ITS_WAY_S else position

    def forget(self, partitions: set[TP]) -> None:
        """Partitions that are no longer ours. What is held of them was not committed, and would come behind what is."""
        self._held = [one for one in self._held if one.tp not in partitions]
        for tp in partitions:
            self._progress.pop(tp, None)
            self._stood.pop(tp, None)

    async def drain(self) -> None:
        """Wait for everything under way."""
        await self._send_on()
        for _, _, sent in list(self._in_flight):
            await self._outbox.acknowledged(sent)
        await self._settle()
