"""The evaluate agent: frames and ticks of `samples` in, signals out, columns checkpointed to a table.

May block: on Kafka's acknowledgements at a checkpoint, and on the rules topic when a tick names an offset not read yet.
Revocation: state of a partition is dropped; the next owner restores the last checkpoint and replays what follows, which
gives the same signals with the same ids.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog
from faust.types import TP

from tocsin.agents import tables
from tocsin.agents.config_log import ConfigLog
from tocsin.agents.outbox import Outbox, Sent
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.transport import BatchApp
from tocsin.engine import frame
from tocsin.engine.evaluate.checkpoint import HEADER, DamagedCheckpoint, checkpoint, restore
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.frame import DamagedFrame, Frame, Tick
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode

_log = structlog.get_logger("tocsin.evaluate")


class Partition:
    """One samples partition: its state, what it has sent and not yet seen acknowledged, when it was last saved."""

    def __init__(self, state: PartitionState) -> None:
        self.state = state
        self.sent: list[Sent] = []
        self.saved_s = time.monotonic()
        self.saved_offset = state.offset


class Evaluate:
    """Evaluate of one worker: all samples partitions that Faust assigned to it."""

    def __init__(
        self, app: BatchApp, outbox: Outbox, table: Any, signals_topic: str, timing: Timing, checkpoint_s: float
    ) -> None:
        self._app = app
        self._outbox = outbox
        self._table = table
        self._signals = signals_topic
        self._timing = timing
        self._checkpoint_s = checkpoint_s
        self.book = RuleBook()
        self.partitions: dict[TP, Partition] = {}
        self.signals = 0
        self._saving = asyncio.Lock()

    def read_rule(self, offset: int, key: bytes, value: bytes | None) -> None:
        """One record of the rules topic."""
        ignored = self.book.append(offset, key, value)
        if ignored:
            _log.warning("a rule that cannot be read was ignored; the one before it stays in force", rule=ignored)

    async def take(self, tp: TP, batches: Sequence[RecordBatch], rules: ConfigLog) -> None:
        """Apply one fetched run."""
        partition = self.partitions.get(tp)
        if partition is None:
            partition = self.partitions[tp] = Partition(self._restored(tp))
        items, end = self._items(tp, batches, partition.state.offset)
        wanted = max((item.rules_offset for item in items if isinstance(item, Tick)), default=0)
        if wanted > rules.position:
            await rules.reach(wanted)
        self.book.end = max(self.book.end, rules.position)
        if items:
            for signal in step(partition.state, items, end, self.book, self._timing):
                self.signals += 1
                key = signal.fingerprint.encode()
                partition.sent.append(await self._outbox.send(self._signals, encode(signal), key=key))
        if len(partition.sent) > 10_000:
            await self._outbox.acknowledged(partition.sent)
            partition.sent.clear()
        if time.monotonic() - partition.saved_s >= self._checkpoint_s:
            await self.save(tp)

    def _restored(self, tp: TP) -> PartitionState:
        prefix = f"{tp.partition}/"
        try:
            return restore(lambda name: self._table.get((prefix + name).encode()))
        except DamagedCheckpoint as error:
            _log.error("a checkpoint is damaged; what the samples topic still holds is judged again", error=str(error))
            return PartitionState()

    def _items(self, tp: TP, batches: Sequence[RecordBatch], after: int) -> tuple[list[Frame | Tick], int]:
        items: list[Frame | Tick] = []
        for batch in batches:
            for record in batch.records:
                if record.offset <= after:
                    continue
                try:
                    items.append(frame.decode(record.value or b""))
                except DamagedFrame as error:
                    _log.error(
                        "a record of the samples topic was passed over", at=f"{tp}@{record.offset}", error=str(error)
                    )
        return items, max(after, batches[-1].offset)

    async def save(self, tp: TP) -> None:
        """Checkpoint one partition, then let its offset be committed."""
        async with self._saving:
            partition = self.partitions.get(tp)
            if partition is None or partition.saved_offset == partition.state.offset:
                return
            # Signals first: state that is ahead of what it has said would never say it.
            sent, partition.sent = partition.sent, []
            offset = partition.state.offset
            entries, header = checkpoint(partition.state)
            await self._outbox.acknowledged(sent)
            prefix = f"{tp.partition}/"
            changed = {(prefix + name).encode(): value for name, value in entries.items()}
            await tables.write(self._outbox, self._table, tp.partition, changed)
            await tables.write(self._outbox, self._table, tp.partition, {(prefix + HEADER).encode(): header})
            partition.saved_offset, partition.saved_s = offset, time.monotonic()
            if tp in self.partitions:
                self._app.committable.offsets[tp] = offset + 1

    async def save_all(self) -> None:
        """Checkpoint everything, at a graceful stop."""
        for tp in list(self.partitions):
            await self.save(tp)

    def forget(self) -> None:
        """At a rebalance: what stays ours is restored from its checkpoint and replayed."""
        self.partitions.clear()
