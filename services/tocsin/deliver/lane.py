"""One channel's notifications: in order within a group, several groups at once, the most severe first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord

from tocsin.deliver.offsets import OffsetLedger
from tocsin.deliver.policy import MAX_RETRY_AFTER_S, Breaker, Bucket, Retry, urgency_of
from tocsin.deliver.protocol import Outgoing, Transient
from tocsin.deliver.settings import RateLimit
from tocsin.schemas.notification import Notification

CONCURRENCY = 8
_MOST_TOGETHER = 500


class Claim:
    """A partition that is ours, until it is `gone`; nothing of it is begun after that."""

    def __init__(self) -> None:
        self.ledger = OffsetLedger()
        self._gone = asyncio.Event()

    @property
    def live(self) -> bool:
        """Whether it is still ours."""
        return not self._gone.is_set()

    def release(self) -> None:
        """It is another's now: whoever waits wakes up and leaves."""
        self._gone.set()

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the claim."""
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            return


@dataclass(slots=True)
class Job:
    """A notification from its record to its settlement.

    While `is_held` the rate limit keeps it waiting, which is written down once (`said_held`). `carried` is there while
    another job's attempt sends it along, and is set when that is over.
    """

    notification: Notification
    record: ConsumerRecord
    claim: Claim
    taken_ms: int = 0
    attempts: int = 0
    first_at_ms: int | None = None
    not_before_ms: int = 0
    outgoing: Outgoing | None = None
    fell_back: bool = False
    is_held: bool = False
    said_held: bool = False
    is_settled: bool = False
    carried: asyncio.Event | None = None

    @property
    def urgency(self) -> int:
        """0 is most urgent."""
        return urgency_of(self.notification.event.severity)


class Slots:
    """A semaphore that serves the most urgent first, `limit` at once. While that is 0 all wait, and none wakes up."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._arrivals = itertools.count()
        self._queue: list[tuple[int, int, asyncio.Future[bool]]] = []

    async def acquire(self, urgency: int) -> bool:
        """Wait for a slot; False without one, when it is time to look whether there is still something to do."""
        if self._taken < self._limit:
            self._taken += 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (urgency, next(self._arrivals), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.release()  # it was handed over while we were cancelled
            raise

    def release(self) -> None:
        """Hand the slot to the next one."""
        self._taken -= 1
        self._serve()

    def allow(self, limit: int) -> None:
        """So many at once from now on; who has a slot keeps it."""
        self._limit = limit
        self._serve()

    def rouse(self) -> None:
        """Let all who wait look at what has changed."""
        queue, self._queue = self._queue, []
        for _, _, turn in queue:
            if not turn.done():
                turn.set_result(False)

    def _serve(self) -> None:
        while self._taken < self._limit and self._queue:
            turn = heapq.heappop(self._queue)[2]
            if not turn.done():
                self._taken += 1
                turn.set_result(True)


@dataclass(slots=True)
class Lane:
    """What one channel has waiting. `settle` delivers a job, or gives it up, and never fails for the job's reasons.

    `failure` is the latest since the receiver lived. The fallback was told of all here that came until `told_ms`.
    """

    settle: Callable[[Job, Lane], Awaitable[None]]
    spawn: Callable[[Coroutine[Any, Any, None]], object]
    now_ms: Callable[[], int]
    breaker: Breaker = field(default_factory=Breaker)
    slots: Slots = field(default_factory=lambda: Slots(CONCURRENCY))
    waiting: int = 0
    fails_since_ms: int = 0
    failure: Transient | None = None
    told_ms: int = 0
    _is_resting: bool = False
    _rest_ended: asyncio.Event = field(default_factory=asyncio.Event)
    _bucket: Bucket | None = None
    _queues: dict[str, deque[Job]] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        """Put a job at the end of its group."""
        self.waiting += 1
        job.taken_ms = job.taken_ms or self.now_ms()
        key = job.notification.group_key
        if key in self._queues:
            self._queues[key].append(job)
            return
        self._queues[key] = deque([job])
        self.spawn(self._drain(key))

    async def _drain(self, key: str) -> None:
        queue = self._queues[key]
        try:
            while queue:
                await self.settle(queue[0], self)
                queue.popleft()
                self.waiting -= 1
        finally:
            self.waiting -= len(queue)
            del self._queues[key]

    def answered(self) -> None:
        """Nothing speaks for rest: the receiver lives, or the channel is gone or useless, and there is none."""
        self.breaker.answered()
        self.fails_since_ms = self.told_ms = 0
        self.failure = None
        self._rest_ended.set()
        self.slots.allow(CONCURRENCY)

    def failed(self, retry: Retry, chance: float, failure: Transient) -> None:
        """An attempt that failed; the receiver may have asked for rest. While the channel rests nobody knocks, and
        nobody is woken up for that: thousands may wait."""
        now_ms, breaker, asked_s = self.now_ms(), self.breaker, failure.retry_after_s
        self.fails_since_ms = self.fails_since_ms or now_ms
        self.failure = failure
        rest_ms = retry.rest_ms(breaker.failures + 1 - breaker.limit, chance)
        asked_ms = int(min(asked_s or 0.0, MAX_RETRY_AFTER_S) * 1_000)
        breaker.failed(now_ms + max(rest_ms, asked_ms), asked=asked_s is not None)
        if breaker.wait_ms(now_ms):
            self.slots.allow(0)
            if not self._is_resting:
                self._is_resting = True
                self.spawn(self._rest())

    async def _rest(self) -> None:
        while (wait_ms := self.breaker.wait_ms(self.now_ms())) > 0:
            self._rest_ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1_000):
                    await self._rest_ended.wait()
        self._is_resting = False
        # One tries first whether the receiver is back.
        self.slots.allow(1 if self.breaker.failures else CONCURRENCY)

    def overdue_ms(self, after_ms: int) -> int:
        """What came by then has waited `after_ms` or longer, all of it while the channel failed; 0 if it did not."""
        since_ms = self.now_ms() - after_ms
        return since_ms if 0 < self.fails_since_ms <= since_ms else 0

    def taken_by(self, until_ms: int) -> list[Job]:
        """What came until then, and of which no fallback was told."""
        jobs = itertools.chain.from_iterable(self._queues.values())
        return [job for job in jobs if job.taken_ms <= until_ms and not job.fell_back]

    def held_beside(self, job: Job, may_join: Callable[[Job], bool]) -> list[Job]:
        """What the rate limit keeps waiting beside a job, and may be sent with it: of each group the first ones."""
        found: list[Job] = []
        for queue in self._queues.values():
            waiting = [one for one in queue if not one.is_settled]
            if waiting and waiting[0] is job:
                found += itertools.takewhile(may_join, waiting[1:])
            elif waiting and waiting[0].is_held and waiting[0].carried is None:
                found += itertools.takewhile(may_join, waiting)
        return found[:_MOST_TOGETHER]

    def bucket(self, limit: RateLimit | None) -> Bucket | None:
        """The bucket for the limit in force; a changed limit begins anew."""
        if limit is None:
            self._bucket = None
        elif self._bucket is None or (self._bucket.count, self._bucket.per_ms) != (limit.count, limit.per):
            self._bucket = Bucket.empty(limit.count, limit.per)
        return self._bucket
