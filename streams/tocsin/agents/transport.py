"""A Faust transport that hands an agent whole runs of records.

Stock Faust makes four futures, an event and an acknowledgement for every message (200 µs); here a fetched run of one
partition is a single message whose value is a list of record batches, and whose offset is the run's last. Offsets are
committed only as far as an agent says (`Committable`): behind its checkpoint, not behind its reading.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Final, cast

import faust
from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from tocsin.agents.answered_thread import AnsweredThread
from tocsin.agents.last_resort import end_by_force
from tocsin.agents.record_batches import RecordBatch

BACKLOG: Final = 16  # runs fetched and not yet taken: more would only fill memory
_FETCH_WAIT_MS: Final = 100
_ASK_AGAIN_S: Final = 0.2


class Committable:
    """Up to which offset each partition may be committed, and how many runs wait to be taken."""

    def __init__(self) -> None:
        self.offsets: dict[TP, int] = {}
        self._waiting: Counter[TP] = Counter()
        self._room = asyncio.Event()

    def arrived(self, partitions: Iterable[TP]) -> None:
        """A run of each partition was fetched."""
        self._waiting.update(partitions)

    def taken(self, partition: TP) -> None:
        """An agent took a run."""
        if self._waiting[partition] > 0:  # else it came before a rebalance
            self._waiting[partition] -= 1
        self._room.set()

    def has_waiting(self, partition: TP) -> bool:
        """Whether a run was fetched and not yet taken."""
        return self._waiting[partition] > 0

    def has_waiting_of(self, topic: str) -> bool:
        """Whether a run of any partition of a topic was fetched and not yet taken."""
        return any(count > 0 and partition.topic == topic for partition, count in self._waiting.items())

    async def room(self) -> None:
        """Wait until there are fewer than BACKLOG runs."""
        while self._waiting.total() >= BACKLOG:
            self._room.clear()
            await self._room.wait()

    def cleared(self) -> None:
        """Faust dropped what was waiting, at a rebalance."""
        self._waiting.clear()
        self._room.set()

    def forget(self, partitions: set[TP]) -> None:
        """Partitions that are no longer ours must not be committed."""
        for partition in partitions:
            self.offsets.pop(partition, None)


class BatchConsumer(driver.Consumer):
    """One message for each fetched run of a batched topic."""

    stops = 0  # how often the flow was stopped
    _skipped = False  # runs were fetched and not handed over, so the position is ahead of what agents have seen

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, Message]]:
        """See Faust's Consumer."""
        app: Any = self.app
        committable: Committable = app.committable
        await committable.room()
        if self._skipped and self.flow_active and not app.rebalancing:
            await self._seek_back()
        fetched: Any = await self._wait_next_records(timeout)
        records, active = fetched
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        if app.rebalancing or self._skipped:
            # Faust empties its queues when a rebalance ends, behind its own seek: what is in them would be lost.
            self._skipped = self._skipped or any(self._is_batched(partition) for partition in records)
            records = {partition: run for partition, run in records.items() if not self._is_batched(partition)}
        wanted = {
            partition: run
            for partition, run in records.items()
            if run and (active is None or partition in active or partition in self._buffered_partitions)
        }
        # All at once: while one is handed over, the others are on their way as well.
        committable.arrived(partition for partition in wanted if self._is_batched(partition))
        for partition, run in wanted.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:  # type: ignore[redundant-expr]
                self._skipped = True
                break
            if (end := self.highwater(partition)) is not None:
                self.app.monitor.track_tp_end_offset(partition, end)
            if partition.topic in app.batched_topics:
                message = self._to_message(partition, run[-1])
                message.value = cast("Any", run)
                yield partition, message
            else:
                for record in run:
                    yield partition, self._to_message(partition, record)

    def stop_flow(self) -> None:
        """See Faust's Consumer."""
        self.stops += 1
        super().stop_flow()

    async def _seek_back(self) -> None:
        """To the committed offsets, so that what was fetched and not handed over is fetched again."""
        self._skipped = True
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 - partitions may be gone already; let through, it crashes the worker
            self.log.warning("seek during a rebalance: %r", error)
        else:
            self._skipped = self.app.rebalancing

    async def seek_to_committed(self) -> Any:
        """See Faust's Consumer, which leaves a partition without an offset behind what was just dropped."""
        committed: Any = await super().seek_to_committed()
        fresh = [partition for partition, offset in committed.items() if not offset and self._is_batched(partition)]
        if fresh:
            # Faust's own account of what was read must go back as well, which its `seek_to_beginning` does not do.
            await self._thread.seek_wait(await self._thread.earliest_offsets(*fresh))
        return committed

    def committed(self, partition: TP) -> int:
        """The offset up to which the group has committed, as of the last commit, or when the partition came."""
        return self._committed_offset.get(partition) or 0

    async def still_holds(self, partition: TP, generation: int) -> bool:
        """Whether the group still counts a partition as ours, as of a generation; what it says holds for a heartbeat.

        A process that was paused for longer than the session timeout does not know yet that others went on with its
        partitions. Asks until the group answers; False means that a rebalance is on its way, if not here already.
        """
        thread: Any = self._thread
        while True:
            if generation < 0 or thread.group_generation != generation or partition not in self.assignment():
                return False
            if time.monotonic() - thread.heard_s < self.app.conf.broker_heartbeat_interval:
                return True
            try:
                has_answered = await thread.call_thread(thread.ask_group)
            except ConsumerStoppedError:
                return False
            if not has_answered:
                await asyncio.sleep(_ASK_AGAIN_S)

    @property
    def group_generation(self) -> int:
        """The generation of the group that the assignment belongs to."""
        thread: Any = self._thread
        generation: int = thread.group_generation
        return generation

    async def position(self, tp: TP) -> int | None:
        """See Faust's Consumer; None where a rebalance has just taken the partition away, or the thread has ended."""
        try:
            position: int | None = await super().position(tp)
        except (IllegalStateError, ConsumerStoppedError):
            return None
        return position

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override] # Faust's gives None as well, unsaid
        """See Faust's Consumer; None as for `position`."""
        try:
            end: int | None = super().highwater(tp)
        except AssertionError:  # aiokafka asserts that the partition is assigned
            return None
        return end

    async def _commit(self, offsets: Any) -> bool:
        try:
            return bool(await super()._commit(offsets))
        except ConsumerStoppedError:  # what is not committed comes again
            return False

    def _is_batched(self, partition: TP) -> bool:
        app: Any = self.app
        return partition.topic in app.batched_topics

    async def _add_gap(self, tp: TP, first: int, last: int) -> None:
        app: Any = self.app
        if tp.topic not in app.batched_topics:  # a run's inner offsets are no gap
            await super()._add_gap(tp, first, last)

    def _new_offset(self, tp: TP) -> int | None:
        app: Any = self.app
        if tp.topic not in app.batched_topics:
            offset: int | None = super()._new_offset(tp)
            return offset
        self._acked_index[tp].difference_update(self._acked[tp])
        self._acked[tp].clear()
        committable: Committable = app.committable
        return committable.offsets.get(tp)

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _ConsumerThread(AnsweredThread):
    heard_s = float("-inf")

    def verify_event_path(self, now: float, tp: TP) -> None:
        """See Faust, which also looks for events in its streams: runs bypass these, and changelogs rest once read."""
        app: Any = self.consumer.app
        if tp.topic in app.batched_topics:
            self._verify_aiokafka_event_path(now, tp)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        """See Faust's thread. A fetch that outlasts a rebalance gives back what it took.

        The partitions it asks for are emptied meanwhile, and then aiokafka hands out all that it has: also the records
        of a changelog at the offset that recovery has just sought, for which recovery would wait for ever.
        """
        reader = cast("BatchConsumer", self.consumer)
        stops = reader.stops
        records: Any = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        if reader.stops == stops and reader.flow_active:
            return records
        for partition, run in records.items():
            with suppress(IllegalStateError):  # no longer ours
                consumer.seek(partition, run[0].first if isinstance(run[0], RecordBatch) else run[0].offset)
        return {}

    @property
    def group_generation(self) -> int:
        generation: int = self._coordinator.generation
        return generation

    @property
    def _coordinator(self) -> Any:
        return self._ensure_consumer()._coordinator  # noqa: SLF001 - aiokafka shows neither generation nor heartbeat

    async def ask_group(self) -> bool:
        """Send a heartbeat; False when there is no answer, or when it is that we are no longer known."""
        await self._coordinator.ensure_coordinator_known()
        asked_s = time.monotonic()
        is_known: bool = await self._coordinator._do_heartbeat()  # noqa: SLF001
        if is_known:
            self.heard_s = asked_s
        return is_known

    async def on_thread_stop(self) -> None:
        """See Faust's thread. A worker that ends leaves its group: one with a name (`agents/instance.py`) would not."""
        self._coordinator._group_instance_id = None  # noqa: SLF001
        await super().on_thread_stop()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # A partition that was just drained waits for the next fetch, which may wait for others: keep that short.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS  # noqa: SLF001 - Faust fixes it at 1500
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust ties it to its own transactions
        return consumer


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer


class BatchApp(faust.App):
    """A Faust app some of whose topics are read in runs."""

    batched_topics: frozenset[str] = frozenset()
    committable: Committable

    def _crash(self, reason: BaseException) -> None:
        if not self.crashed:
            end_by_force()
        super()._crash(reason)

    @property
    def reader(self) -> BatchConsumer:
        """The consumer, which Faust knows only as one of any kind."""
        return cast("BatchConsumer", self.consumer)
