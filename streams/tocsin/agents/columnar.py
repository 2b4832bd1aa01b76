"""An agent that keeps columns: records of one topic in, outputs out, state checkpointed to a table.

May block: on Kafka's acknowledgements at a checkpoint, on the rules topic when a record names an offset not read yet,
and for as long as a replay takes when the checkpoint is older than the group's offset. Revocation: state of a partition
is dropped; the next owner restores the last checkpoint and replays what follows, which gives the same outputs with the
same ids.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic

import structlog
from faust.types import TP

from tocsin.agents.config_log import ConfigLog
from tocsin.agents.marks import Said
from tocsin.agents.outbox import Outbox, Sent
from tocsin.agents.pieces import PieceTable
from tocsin.agents.record_batches import BatchRefused, RecordBatch
from tocsin.agents.replay import Stretch
from tocsin.agents.stage import Item, Stage, State
from tocsin.agents.transport import BatchApp
from tocsin.engine.checkpoint_table import Checkpoints
from tocsin.engine.evaluate.checkpoint import DamagedCheckpoint
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.pieces import DamagedEntry
from tocsin.schemas.mark import mark_key

_IN_HAND_S: Final = 5.0  # how long a graceful stop waits for a run that is being applied
_SAVE_S: Final = 10.0  # how long it waits for a checkpoint
_UNACKNOWLEDGED: Final = 1_000  # batches of outputs under way before a run waits for them
_log = structlog.get_logger("tocsin.evaluate")


class Partition(Generic[Item, State]):
    """One partition: its state, what it has sent and not yet seen acknowledged, when it was last saved.

    `position` is the offset after the last record that was handed over. `early` are records that came before any plan.
    A state is not `whole` while a run is applied, and for ever after one that failed: it must not be saved.
    """

    def __init__(self, state: State, position: int, generation: int, checkpoints: Checkpoints) -> None:
        self.state = state
        self.checkpoints = checkpoints
        self.generation = generation
        self.position = position
        self.early: list[Item] = []
        self.sent: list[Sent] = []
        self.saved_s = time.monotonic()
        self.saved_position = position
        self.lock = asyncio.Lock()
        self.whole = True
        self.is_lost = False


class Columnar(Generic[Item, State]):
    """One stage of one worker: all partitions of its topic that Faust assigned to it."""

    def __init__(
        self,
        app: BatchApp,
        outbox: Outbox,
        table: Any,
        client: Mapping[str, Any],
        stage: Stage[Item, State],
        book: RuleBook,
        checkpoint_s: float,
    ) -> None:
        self._app = app
        self._outbox = outbox
        self._pieces = PieceTable(outbox, table)
        self._client = client
        self._stage = stage
        self._checkpoint_s = checkpoint_s
        self.book = book
        self.partitions: dict[TP, Partition[Item, State]] = {}
        self.outputs = 0

    async def take(self, tp: TP, batches: Sequence[RecordBatch], rules: ConfigLog) -> None:
        """Apply one fetched run."""
        partition = self.partitions.get(tp)
        if partition is None:
            generation = self._app.reader.group_generation
            checkpoints = Checkpoints(self._pieces, tp.partition, generation)
            state = self._restored(tp, checkpoints)
            partition = Partition(state, self._stage.position(state), generation, checkpoints)
            self.partitions[tp] = partition
        async with partition.lock:
            if batches[0].first > partition.position and not partition.is_lost:
                await self._replay(tp, partition, batches[0].first, rules)
            await self._apply(tp, partition, batches, rules)

    async def _replay(self, tp: TP, partition: Partition[Item, State], end: int, rules: ConfigLog) -> None:
        """Apply what lies before `end` and is not in the state, as far as the topic still holds it."""
        begin = partition.position
        async with Stretch.opened(self._client, tp) as log:
            first = min(await log.beginning(), end)
            if first > begin:
                lost = f"{tp.topic}/{tp.partition}@{begin}-{first - 1}"
                _log.error("data loss: records were deleted before they were judged", offsets=lost)
            if first < end:
                _log.warning(
                    "records are judged again", offsets=f"{tp.topic}/{tp.partition}@{max(begin, first)}-{end - 1}"
                )
            async for batches in log.read(max(begin, first), end):
                await self._apply(tp, partition, batches, rules)
                if partition.is_lost:
                    return
        partition.position = max(partition.position, end)

    async def _apply(
        self, tp: TP, partition: Partition[Item, State], batches: Sequence[RecordBatch], rules: ConfigLog
    ) -> None:
        if partition.is_lost:
            return
        items = self._items(tp, batches, partition.position)
        partition.position = max(partition.position, batches[-1].offset + 1)
        if not self._stage.has_plan(partition.state):
            held = [*partition.early, *items]
            items = list(self._stage.behind_a_plan(held))
            partition.early = [] if items else held
        if items:
            await self._step(partition, items, rules)
        if time.monotonic() - partition.saved_s >= self._checkpoint_s:
            await self._save(tp, partition)

    async def _step(self, partition: Partition[Item, State], items: Sequence[Item], rules: ConfigLog) -> None:
        wanted = self._stage.rules_wanted(items)
        if wanted > rules.position:
            await rules.reach(wanted)
        self.book.end = max(self.book.end, rules.position)
        partition.whole = False
        outputs = list(self._stage.step(partition.state, items, partition.position - 1, self.book))
        self.outputs += len(outputs)
        partition.sent += [parcel.sent for parcel in await self._outbox.post(outputs)]
        if len(partition.sent) > _UNACKNOWLEDGED:
            await self._outbox.acknowledged(partition.sent)
            partition.sent.clear()
        partition.whole = True

    def _restored(self, tp: TP, checkpoints: Checkpoints) -> State:
        try:
            return self._stage.restore(checkpoints.read, tp.partition)
        except (DamagedCheckpoint, DamagedEntry) as error:
            _log.error(
                "a checkpoint is damaged; what its topic still holds is judged again", at=str(tp), error=str(error)
            )
            return self._stage.begin(tp.partition)

    def _items(self, tp: TP, batches: Sequence[RecordBatch], begin: int) -> list[Item]:
        items: list[Item] = []
        for batch in batches:
            try:
                records = batch.unpack()
            except BatchRefused as refused:
                at = f"{tp.topic}/{tp.partition}@{batch.first}-{batch.offset}"
                _log.error("records were passed over", at=at, error=str(refused))
                continue
            for record in records:
                if record.offset < begin:
                    continue
                try:
                    items.append(self._stage.decode(record.value or b""))
                except ValueError as error:
                    at = f"{tp.topic}/{tp.partition}@{record.offset}"
                    _log.error("a record was passed over", at=at, error=str(error))
        return items

    async def _save(self, tp: TP, partition: Partition[Item, State]) -> None:
        """Checkpoint a partition, then let its offset be committed."""
        position = self._stage.position(partition.state)
        if not partition.whole or partition.saved_position == position:
            return
        if not await self._app.reader.still_holds(tp, partition.generation):
            partition.is_lost = True  # its new owner restores the checkpoint that is there, and goes on from that
            return
        partition.whole = False
        # What it says first: state that is ahead of what it has said would never say it.
        sent, partition.sent = partition.sent, []
        entries, header = self._stage.checkpoint(partition.state)
        await self._outbox.acknowledged(sent)
        await partition.checkpoints.write({name: value or None for name, value in entries.items()}, header)
        partition.saved_position, partition.saved_s, partition.whole = position, time.monotonic(), True
        if self.partitions.get(tp) is partition:
            self._app.committable.offsets[tp] = position

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
                async with asyncio.timeout(_SAVE_S):
                    await self._save(tp, partition)
            except TimeoutError:
                _log.warning("Kafka does not answer; a partition goes on from its last checkpoint", partition=str(tp))
            finally:
                partition.lock.release()

    def said(self) -> list[Said]:
        """How far each partition is, but for those in the middle of a run or a checkpoint."""
        found = []
        for tp, partition in self.partitions.items():
            standing = self._stage.standing(partition.state) if partition.whole and not partition.is_lost else None
            if standing is not None:
                sent = [one for one in partition.sent if not one.done() or one.exception()]
                found.append(Said(mark_key(self._stage.name, tp.partition), standing, sent))
        return found

    def forget(self) -> None:
        """At a rebalance: what stays ours is restored from its checkpoint and replayed."""
        self.partitions.clear()
