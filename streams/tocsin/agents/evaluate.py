"""The evaluate agent: frames and ticks of `samples` in, signals out, columns checkpointed to a table.

May block: on Kafka's acknowledgements at a checkpoint, on the rules topic when a tick names an offset not read yet, and
for as long as a replay takes when the checkpoint is older than the group's offset. Revocation: state of a partition is
dropped; the next owner restores the last checkpoint and replays what follows, which gives the same signals with the
same ids.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from faust.types import TP

from tocsin.agents.config_log import ConfigLog
from tocsin.agents.outbox import Outbox, Sent
from tocsin.agents.pieces import DamagedEntry, PieceTable
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.replay import Stretch
from tocsin.agents.transport import BatchApp
from tocsin.engine import frame
from tocsin.engine.evaluate.checkpoint import HEADER, DamagedCheckpoint, checkpoint, restore
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import Timing, step
from tocsin.engine.frame import DamagedFrame, Frame, Tick
from tocsin.schemas.codec import encode

_IN_HAND_S: Final = 5.0  # how long a graceful stop waits for a run that is being applied
_UNACKNOWLEDGED: Final = 10_000  # signals under way before a run waits for them
_log = structlog.get_logger("tocsin.evaluate")


class Partition:
    """One samples partition: its state, what it has sent and not yet seen acknowledged, when it was last saved.

    `position` is the offset after the last record that was handed over. `early` are frames that came before any plan.
    A state is not `whole` while a run is applied, and for ever after one that failed: it must not be saved.
    """

    def __init__(self, state: PartitionState, generation: int) -> None:
        self.state = state
        self.generation = generation
        self.position = state.offset + 1
        self.early: list[Frame | Tick] = []
        self.sent: list[Sent] = []
        self.saved_s = time.monotonic()
        self.saved_offset = state.offset
        self.lock = asyncio.Lock()
        self.whole = True
        self.is_lost = False


class Evaluate:
    """Evaluate of one worker: all samples partitions that Faust assigned to it."""

    def __init__(
        self,
        app: BatchApp,
        outbox: Outbox,
        table: Any,
        client: Mapping[str, Any],
        signals_topic: str,
        timing: Timing,
        checkpoint_s: float,
    ) -> None:
        self._app = app
        self._outbox = outbox
        self._pieces = PieceTable(outbox, table)
        self._client = client
        self._signals = signals_topic
        self._timing = timing
        self._checkpoint_s = checkpoint_s
        self.book = RuleBook()
        self.partitions: dict[TP, Partition] = {}
        self.signals = 0

    def read_rule(self, offset: int, key: bytes, value: bytes | None) -> None:
        """One record of the rules topic."""
        ignored = self.book.append(offset, key, value)
        if ignored:
            _log.warning("a rule that cannot be read was ignored; the one before it stays in force", rule=ignored)

    async def take(self, tp: TP, batches: Sequence[RecordBatch], rules: ConfigLog) -> None:
        """Apply one fetched run."""
        partition = self.partitions.get(tp)
        if partition is None:
            partition = self.partitions[tp] = Partition(self._restored(tp), self._app.reader.group_generation)
        async with partition.lock:
            if batches[0].first > partition.position and not partition.is_lost:
                await self._replay(tp, partition, batches[0].first, rules)
            await self._apply(tp, partition, batches, rules)

    async def _replay(self, tp: TP, partition: Partition, end: int, rules: ConfigLog) -> None:
        """Apply what lies before `end` and is not in the state, as far as the topic still holds it."""
        begin = partition.position
        async with Stretch.opened(self._client, tp) as log:
            first = min(await log.beginning(), end)
            if first > begin:
                lost = f"{tp.topic}/{tp.partition}@{begin}-{first - 1}"
                _log.error("data loss: samples were deleted before they were judged", offsets=lost)
            if first < end:
                _log.warning(
                    "samples are judged again", offsets=f"{tp.topic}/{tp.partition}@{max(begin, first)}-{end - 1}"
                )
            async for batches in log.read(max(begin, first), end):
                await self._apply(tp, partition, batches, rules)
                if partition.is_lost:
                    return
        partition.position = max(partition.position, end)

    async def _apply(self, tp: TP, partition: Partition, batches: Sequence[RecordBatch], rules: ConfigLog) -> None:
        if partition.is_lost:
            return
        items = self._items(tp, batches, partition.position)
        partition.position = max(partition.position, batches[-1].offset + 1)
        if partition.state.plan.offset < 0:
            items = _behind_a_plan(partition, items)
        if items:
            await self._step(partition, items, rules)
        if time.monotonic() - partition.saved_s >= self._checkpoint_s:
            await self._save(tp, partition)

    async def _step(self, partition: Partition, items: Sequence[Frame | Tick], rules: ConfigLog) -> None:
        wanted = max((item.rules_offset for item in items if isinstance(item, Tick)), default=0)
        if wanted > rules.position:
            await rules.reach(wanted)
        self.book.end = max(self.book.end, rules.position)
        partition.whole = False
        for signal in step(partition.state, items, partition.position - 1, self.book, self._timing):
            self.signals += 1
            key = signal.fingerprint.encode()
            partition.sent.append(await self._outbox.send(self._signals, encode(signal), key=key))
        if len(partition.sent) > _UNACKNOWLEDGED:
            await self._outbox.acknowledged(partition.sent)
            partition.sent.clear()
        partition.whole = True

    def _restored(self, tp: TP) -> PartitionState:
        try:
            return restore(lambda name: self._pieces.read(tp.partition, _entry_name(tp, name)))
        except (DamagedCheckpoint, DamagedEntry) as error:
            _log.error("a checkpoint is damaged; what the samples topic still holds is judged again", error=str(error))
            return PartitionState()

    def _items(self, tp: TP, batches: Sequence[RecordBatch], begin: int) -> list[Frame | Tick]:
        items: list[Frame | Tick] = []
        for batch in batches:
            if batch.refused:
                at = f"{tp.topic}/{tp.partition}@{batch.first}-{batch.offset}"
                _log.error("records of the samples topic were passed over", at=at, error=batch.refused)
            for record in batch.records:
                if record.offset < begin:
                    continue
                try:
                    items.append(frame.decode(record.value or b""))
                except DamagedFrame as error:
                    at = f"{tp.topic}/{tp.partition}@{record.offset}"
                    _log.error("a record of the samples topic was passed over", at=at, error=str(error))
        return items

    async def _save(self, tp: TP, partition: Partition) -> None:
        """Checkpoint a partition, then let its offset be committed."""
        if not partition.whole or partition.saved_offset == partition.state.offset:
            return
        if not await self._app.reader.still_holds(tp, partition.generation):
            partition.is_lost = True  # its new owner restores the checkpoint that is there, and goes on from that
            return
        partition.whole = False
        # Signals first: state that is ahead of what it has said would never say it.
        sent, partition.sent = partition.sent, []
        offset = partition.state.offset
        entries, header = checkpoint(partition.state)
        await self._outbox.acknowledged(sent)
        changed: dict[bytes, bytes | None] = {_entry_name(tp, name): value for name, value in entries.items()}
        await self._pieces.write(tp.partition, changed)
        await self._pieces.write(tp.partition, {_entry_name(tp, HEADER): header})
        partition.saved_offset, partition.saved_s, partition.whole = offset, time.monotonic(), True
        if self.partitions.get(tp) is partition:
            self._app.committable.offsets[tp] = offset + 1

    async def save_all(self) -> None:
        """Checkpoint everything, at a graceful stop."""
        for tp, partition in list(self.partitions.items()):
            try:
                await asyncio.wait_for(partition.lock.acquire(), _IN_HAND_S)
            except TimeoutError:
                _log.warning(
                    "a run in hand did not end; its partition goes on from its last checkpoint", partition=str(tp)
                )
                continue
            try:
                await self._save(tp, partition)
            finally:
                partition.lock.release()

    def forget(self) -> None:
        """At a rebalance: what stays ours is restored from its checkpoint and replayed."""
        self.partitions.clear()


def _behind_a_plan(partition: Partition, items: list[Frame | Tick]) -> list[Frame | Tick]:
    """Frames of a log that lost its beginning wait for the first tick, and are judged by the rules that it names."""
    held = partition.early + items
    tick = next((item for item in held if isinstance(item, Tick)), None)
    partition.early = [] if tick else held
    if tick is None:
        return []
    return held if held[0] is tick else [Tick(held[0].clock_ms, tick.rules_offset, (), {}), *held]


def _entry_name(tp: TP, name: str) -> bytes:
    return f"{tp.partition}/{name}".encode()
