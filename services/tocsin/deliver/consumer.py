"""Reads the notifications of one channel type, as a member of its group, and commits what is settled."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.agents.background import ended
from tocsin.context import Context
from tocsin.deliver import metrics
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.memory import read_memory
from tocsin.deliver.parking import Parking
from tocsin.deliver.tail import Tail, read_tail
from tocsin.deliver.worker import Surroundings, Worker
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.schemas.codec import UnreadableRecord, decode
from tocsin.schemas.notification import Notification

_FETCH_MS = 100
_FETCH_RECORDS = 500
_COMMIT_EVERY_S = 1.0
_COMMIT_TIMEOUT_S = 5.0
_ENDS_TIMEOUT_S = 30.0
_NEAR_MS = 1_800_000  # what a tail holds beyond what it was asked for is more
# Beyond this many unsettled notifications of one partition it is not read on.
MAX_PENDING = 100_000
# In-flight sends get this long when a partition goes to another process, or at the end.
WIND_DOWN_S = 8.0
log = structlog.get_logger("tocsin.deliver.consumer")


class TypeConsumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group `deliver.<channel type>`.

    Kafka's group decides who sends: an attempt is made only while the last commit that the group accepted is younger
    than the session timeout. A process that was frozen, or cut off, thus stops before another takes over.
    """

    def __init__(
        self, context: Context, kind: str, around: Surroundings, parking: Parking, assigned: asyncio.Event
    ) -> None:
        self._context = context
        self._kind = kind
        self._around = around
        self._parking = parking
        self._claims: dict[TopicPartition, Claim] = {}
        self._generation = 0
        self._tail: Tail | None = None
        self._tail_since_ms = 0
        self._left: dict[TopicPartition, int] = {}  # ends of partitions of which nothing was read yet
        self._lease_until_s = 0.0
        self._commit_at_s = 0.0
        arguments = consumer_arguments(context.connection, context.group(f"deliver.{kind}"))
        self._session_s = arguments["session_timeout_ms"] / 1_000
        self._consumer = AIOKafkaConsumer(**{**arguments, "fetch_max_wait_ms": _FETCH_MS})
        self._worker = Worker(kind, around, self._may_send)
        self._assigned = assigned

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then what is on the wire is finished, within a bound."""
        self._consumer.subscribe([self._context.topics.notifications(self._kind)], listener=self)
        async with (
            started(self._consumer, self._context.connection.bootstrap_servers),
            self._parking,
            asyncio.TaskGroup() as tasks,
        ):
            refill = tasks.create_task(self._parking.refill(self._worker, self._job, self._submit))
            async with self._worker:
                while not stop.is_set():
                    fetched = await self._consumer.getmany(timeout_ms=_FETCH_MS, max_records=_FETCH_RECORDS)
                    await self._take(fetched)
                    if time.monotonic() >= self._commit_at_s:
                        await self._commit()
                    self._balance()
                await self._release()
            await ended(refill)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """The partitions are ours from here on; what is known of their notifications is read before the first one."""
        self._generation += 1
        self._tail = None
        self._claims = {partition: Claim() for partition in assigned}
        self._lease_until_s = time.monotonic() + self._session_s
        log.info("assigned", channel_type=self._kind, partitions=sorted(one.partition for one in assigned))
        self._assigned.set()

    async def on_partitions_revoked(self, _revoked: set[TopicPartition]) -> None:
        """Finish what is on the wire, commit, and forget the rest: its next owner finds it uncommitted."""
        await self._release()

    async def _release(self) -> None:
        self._generation += 1
        for claim in self._claims.values():
            claim.release()
        self._worker.release()
        await self._worker.quiet(WIND_DOWN_S)
        await self._commit()
        self._claims = {}

    def _may_send(self) -> bool:
        return time.monotonic() < self._lease_until_s

    async def _take(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        """Give the fetched records to the worker, unless the partitions went to another meanwhile."""
        generation = self._generation
        if fetched:
            await self._look_back(fetched)
        if fetched and not self._may_send():
            await self._commit({partition: records[0].offset for partition, records in fetched.items()})
        for partition, records in fetched.items():
            for record in records:
                claim = self._claims.get(partition)
                if generation != self._generation or claim is None:
                    return
                if claim.ledger.begin(record.offset):
                    await self._take_one(claim, partition, record)

    async def _look_back(self, fetched: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        """Read what earlier processes said of what they left, since the oldest of it: that may lie in a partition for
        which the first fetch had no room. What was written later is not of theirs, though a redrive has its old time.
        """
        generation, is_first = self._generation, self._tail is None
        if is_first:
            async with asyncio.timeout(_ENDS_TIMEOUT_S):
                self._left = await self._consumer.end_offsets(list(self._claims))
        firsts = [(records[0], self._left.get(partition, 0)) for partition, records in fetched.items()]
        theirs = [one.timestamp for one, end in firsts if is_first or one.offset < end]
        self._left = {partition: end for partition, end in self._left.items() if partition not in fetched}
        since_ms = min(theirs, default=self._tail_since_ms)
        if is_first or since_ms < self._tail_since_ms - _NEAR_MS:
            tail = await read_tail(self._context, self._kind, since_ms)
            memory = await read_memory(self._context, self._kind) if is_first else self._worker.books.memory
            if generation == self._generation:
                self._worker.remember(tail, memory)
                self._tail, self._tail_since_ms = tail, since_ms

    async def _take_one(self, claim: Claim, partition: TopicPartition, record: ConsumerRecord) -> None:
        if self._tail is not None and (record.partition, record.offset) in self._tail.given_up:
            claim.ledger.finish(record.offset)
            return
        try:
            job = self._job(claim, record)
        except UnreadableRecord as error:
            log.warning("unreadable notification", partition=record.partition, offset=record.offset, reason=str(error))
            metrics.DEAD_LETTERS.labels(self._kind, "unreadable").inc()
            await self._around.journal.give_up(record, "unreadable", "", str(error))
            claim.ledger.finish(record.offset)
            return
        notification = job.notification
        if self._parking.takes(notification, self._worker.waiting(notification.channel_id)):
            self._parking.park(notification, claim, partition, record.offset, self._around.transport.clock.now_ms())
        else:
            self._submit(job)

    def _job(self, claim: Claim, record: ConsumerRecord) -> Job:
        """A record as a job that goes on where an earlier process stopped. Raises UnreadableRecord.

        A parked record becomes a job more than once, so what is known of it is forgotten only by `_submit`.
        """
        job = Job(decode(Notification, record.value), record, claim)
        begun = self._tail.begun.get(job.notification.id) if self._tail is not None else None
        if begun is not None:
            job.attempts, job.first_at_ms, job.not_before_ms = begun.attempts, begun.first_at_ms, begun.next_at_ms
        return job

    def _submit(self, job: Job) -> None:
        """From here on the job itself knows its attempts; a redrive of the same notification begins anew."""
        if self._tail is not None:
            self._tail.begun.pop(job.notification.id, None)
        self._worker.submit(job)

    async def _commit(self, first: dict[TopicPartition, int] | None = None) -> None:
        """Commit what is settled, and with it prove that the group still counts on us."""
        began_s = time.monotonic()
        self._commit_at_s = began_s + _COMMIT_EVERY_S
        offsets = dict(first or {})
        for partition, claim in self._claims.items():
            if claim.ledger.committable is not None:
                offsets[partition] = claim.ledger.committable
        if not offsets:
            return
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                await self._consumer.commit(offsets)
        except (KafkaError, TimeoutError) as error:
            # A rebalance or a broker that is away: the next commit, or the next owner, goes on from the last one.
            log.info("not committed", channel_type=self._kind, reason=type(error).__name__)
        else:
            self._lease_until_s = began_s + self._session_s

    def _balance(self) -> None:
        """Stop reading partitions with too many unsettled notifications, and go on when half of them are settled."""
        paused = self._consumer.paused()
        for partition, claim in self._claims.items():
            if partition not in paused and claim.ledger.pending > MAX_PENDING:
                self._consumer.pause(partition)
            elif partition in paused and claim.ledger.pending < MAX_PENDING // 2:
                self._consumer.resume(partition)
