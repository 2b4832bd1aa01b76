"""Settles notifications of one channel type: sends, tries again, and gives up with a reason."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Set
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import structlog
from pydantic import ValidationError

from tocsin.deliver import metrics
from tocsin.deliver.books import Books, Unusable
from tocsin.deliver.channels import UnknownChannelType, channel_type, check_config
from tocsin.deliver.composer import Composer
from tocsin.deliver.credentials import config_errors, opened_config, redacted
from tocsin.deliver.digest import digest_of
from tocsin.deliver.directory import Directory
from tocsin.deliver.journal import Journal
from tocsin.deliver.lane import Job, Lane
from tocsin.deliver.memory import Memory
from tocsin.deliver.protocol import DeliveryError, Outgoing, Permanent, Receipt, Transient, Transport
from tocsin.deliver.settings import ChannelSettings, template_problems
from tocsin.deliver.tail import Tail
from tocsin.schemas.channel import Channel
from tocsin.vault import Vault, VaultError

UNKNOWN_CHANNEL_WAIT_S = 5.0
_POLL_S = 0.05
# Ids of what was delivered, kept to drop repeats that a router makes after a crash.
_REMEMBERED = 200_000
log = structlog.get_logger("tocsin.deliver.worker")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker needs of its service. `may_send` is False while another process may own our partitions."""

    directory: Directory
    vault: Vault
    transport: Transport
    journal: Journal
    composer: Composer
    unknown_channel_wait_s: float = UNKNOWN_CHANNEL_WAIT_S


class Worker:
    """One lane a channel, so that a receiver that hangs holds up nobody else."""

    def __init__(
        self,
        kind: str,
        around: Surroundings,
        may_send: Callable[[], bool],
    ) -> None:
        self.kind = kind
        self._around = around
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._may_send = may_send
        self._lanes: dict[str, Lane] = {}
        self._delivered: dict[str, None] = {}
        self._delivered_before: Set[str] = frozenset()
        self._settings: dict[str, tuple[Channel, ChannelSettings]] = {}
        self._send = channel_type(kind).send
        self.books = Books(kind, around.journal, around.directory, around.transport.clock)
        self._sending = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.WAITING.labels(kind).set_function(lambda: sum(lane.waiting for lane in self._lanes.values()))

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever is still running is cut off; its notification is not committed, and comes again."""
        for task in tuple(self._running):
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def remember(self, tail: Tail, memory: Memory) -> None:
        """What earlier processes delivered is not sent again, and what they said is gone on with."""
        # Apart from our own, of which the latest are kept: everything behind what is not settled may come again.
        self._delivered_before = tail.delivered
        self.books.memory = memory

    def submit(self, job: Job) -> None:
        """Take a job on; it is finished in its claim's ledger once it is settled."""
        self._lane(job.notification.channel_id).add(job)

    def release(self) -> None:
        """Claims have ended: whoever waits in line looks whether its job is still ours."""
        for lane in self._lanes.values():
            lane.slots.rouse()

    async def quiet(self, timeout_s: float) -> None:
        """Wait until nothing is on the wire, but not for ever."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("sends are still under way", channel_type=self.kind, count=self._sending)

    def waiting(self, channel_id: str) -> int:
        """How many jobs a channel has."""
        lane = self._lanes.get(channel_id)
        return lane.waiting if lane else 0

    def told_ms(self, channel_id: str) -> int:
        """The fallback was told of all jobs of the channel that came until then; 0 while it need not be."""
        lane = self._lanes.get(channel_id)
        return lane.told_ms if lane else 0

    def _lane(self, channel_id: str) -> Lane:
        if channel_id not in self._lanes:
            self._lanes[channel_id] = Lane(self._settle, self._spawn, self._around.transport.clock.now_ms)
        return self._lanes[channel_id]

    async def _settle(self, job: Job, lane: Lane) -> None:
        """Until the job is delivered, given up, or no longer ours."""
        while job.claim.live and not job.is_settled:
            if job.carried is not None:
                await job.carried.wait()
            elif self._is_delivered(job.notification.id):
                metrics.REPEATS_DROPPED.labels(self.kind).inc()
                self._finish(job)
            elif await self._ready(job, lane):
                await self._attempt(job, lane)

    def _finish(self, job: Job) -> None:
        job.is_settled = True
        job.claim.ledger.finish(job.record.offset)

    async def _ready(self, job: Job, lane: Lane) -> bool:
        """Wait for the job's time, the receiver's rest and the rate limit; False if it is not this job's turn."""
        clock = self._around.transport.clock
        while job.claim.live and job.carried is None and not job.is_settled:
            wait_ms = job.not_before_ms - clock.now_ms()
            if wait_ms > 0:
                await job.claim.pause(wait_ms / 1_000)
                continue
            if not await lane.slots.acquire(job.urgency):
                continue
            hold_s = self._obstacle_s(job, lane)
            if not hold_s:
                return True
            lane.slots.release()
            if job.is_held and not (job.said_held or job.attempts or job.notification.test):
                job.said_held = True
                await self.books.limited(job, clock.now_ms() + math.ceil(hold_s * 1_000))
            await job.claim.pause(hold_s)
        return False

    def _obstacle_s(self, job: Job, lane: Lane) -> float:
        """With a slot in hand: how long to wait for what has changed meanwhile, and for the rate limit; 0 is go."""
        now_ms = self._around.transport.clock.now_ms()
        if not job.claim.live or not self._may_send() or job.carried is not None or job.is_settled:
            return _POLL_S
        if lane.breaker.wait_ms(now_ms):
            return _POLL_S
        channel = self._around.directory.get(job.notification.channel_id)
        try:
            bucket = lane.bucket(self._usable(channel).rate_limit) if channel else None
        except Unusable:
            return 0  # the attempt will say so
        wait_ms = bucket.wait_ms(now_ms) if bucket else 0
        if bucket is not None and not wait_ms:
            bucket.take(now_ms)
        job.is_held = job.is_held or wait_ms > 0
        return wait_ms / 1_000

    async def _attempt(self, job: Job, lane: Lane) -> None:
        """Make one attempt, holding a slot. What the rate limit held goes along with what it held beside it."""
        others = lane.held_beside(job, self._may_join) if job.is_held and self._may_join(job) else []
        over = asyncio.Event()
        for other in others:
            other.carried = over
        job.is_held = False
        try:
            await self._attempt_together([job, *others], lane)
        finally:
            for other in others:
                other.carried = None
            over.set()

    def _may_join(self, job: Job) -> bool:
        """Whether it may be a part of a digest; what edits an earlier message may not."""
        notification = job.notification
        is_fit = channel_type(self.kind).digests and not notification.test and not self._is_delivered(notification.id)
        return is_fit and job.claim.live and self.books.memory.of(notification) is None

    async def _attempt_together(self, jobs: list[Job], lane: Lane) -> None:
        began_s = time.monotonic()
        self._wire(+1)
        now_ms = self._around.transport.clock.now_ms()
        for job in jobs:
            job.attempts += 1
            job.first_at_ms = now_ms if job.first_at_ms is None else job.first_at_ms
        settings = ChannelSettings()
        ended: Receipt | DeliveryError
        try:
            settings = await self._settings_for(jobs[0])
            ended = await self._sent(jobs, settings)
        except DeliveryError as error:
            ended = error
        finally:
            lane.slots.release()
        try:
            await self._noted(jobs, lane, settings, ended, time.monotonic() - began_s)
        finally:
            self._wire(-1)

    def _wire(self, change: int) -> None:
        self._sending += change
        if self._sending:
            self._idle.clear()
        else:
            self._idle.set()

    async def _noted(
        self, jobs: list[Job], lane: Lane, settings: ChannelSettings, ended: Receipt | DeliveryError, latency_s: float
    ) -> None:
        """Write down how an attempt ended for each job in it."""
        metrics.LATENCY.labels(self.kind).observe(latency_s)
        if not isinstance(ended, Transient):
            lane.answered()
        elif not jobs[0].notification.test:  # somebody tries settings out: that says nothing of the receiver
            lane.failed(settings.retry.policy, self._around.transport.clock.chance(), ended)
        if isinstance(ended, DeliveryError):
            ended.detail = redacted(ended.detail, settings)
            for job in jobs:
                await self._failed(job, settings, ended, latency_s)
            if settings.fallback:
                await self._fall_back_overdue(lane, settings.fallback_after)
            return
        shown = replace(ended, text=redacted(ended.text, settings), detail=redacted(ended.detail, settings))
        for job in jobs:
            self._remember_delivered(job.notification.id)
        for job in jobs:
            await self.books.delivered(job, shown, latency_s, len(jobs))
            self._finish(job)

    async def _sent(self, jobs: list[Job], settings: ChannelSettings) -> Receipt:
        try:
            outgoing = await self._outgoing(jobs, settings)
            receipt: Receipt = await self._send(settings, outgoing, self._around.transport)
            return receipt
        except DeliveryError:
            raise
        except Exception as error:
            # At this edge everything counts: a channel that fails on one message must not stop the others.
            first = jobs[0].notification
            log.exception("channel failed", channel_id=first.channel_id, notification=first.id)
            raise Permanent(f"the channel failed on this notification: {type(error).__name__}") from None

    async def _outgoing(self, jobs: list[Job], settings: ChannelSettings) -> Outgoing:
        """What is to be sent; a notification that goes alone keeps it for all of its attempts."""
        composer, first = self._around.composer, jobs[0]
        if len(jobs) > 1:
            metrics.DIGESTS.labels(self.kind).inc()
            return composer.outgoing(digest_of([job.notification for job in jobs]), settings.template)
        if first.outgoing is None:
            earlier = self.books.memory.of(first.notification)
            outgoing = composer.outgoing(first.notification, settings.template, earlier)
            is_pictured = channel_type(self.kind).pictured(settings, outgoing)
            first.outgoing = await composer.illustrated(outgoing) if is_pictured else outgoing
        return first.outgoing

    async def _failed(self, job: Job, settings: ChannelSettings, failure: DeliveryError, latency_s: float) -> None:
        clock = self._around.transport.clock
        now_ms = clock.now_ms()
        if isinstance(failure, Transient) and not job.notification.test:
            elapsed_ms = now_ms - (job.first_at_ms or now_ms)
            wait_ms = settings.retry.policy.next_wait_ms(
                job.attempts, elapsed_ms, clock.chance(), failure.retry_after_s
            )
            if wait_ms is not None:
                job.not_before_ms = now_ms + wait_ms
                await self.books.retrying(job, failure, latency_s)
                if elapsed_ms >= settings.fallback_after:
                    await self.books.fall_back(job, failure)
                return
        await self.books.fall_back(job, failure)
        await self.books.gave_up(job, failure, latency_s)
        self._finish(job)

    async def _fall_back_overdue(self, lane: Lane, after_ms: int) -> None:
        """Tell the fallback of what waits in the lane; what is parked comes behind that."""
        if until_ms := lane.overdue_ms(after_ms):
            for job in lane.taken_by(until_ms):
                await self.fall_back(job)
            lane.told_ms = until_ms if lane.overdue_ms(after_ms) else 0

    async def fall_back(self, job: Job) -> None:
        """Tell the fallback of a job that waits, if it still does: one after the other, many of them take a while."""
        failure = self._lane(job.notification.channel_id).failure
        is_waiting = job.claim.live and not job.is_settled and not self._is_delivered(job.notification.id)
        if failure is not None and is_waiting:
            await self.books.fall_back(job, failure)

    def _is_delivered(self, identity: str) -> bool:
        return identity in self._delivered or identity in self._delivered_before

    def _remember_delivered(self, identity: str) -> None:
        self._delivered[identity] = None
        while len(self._delivered) > _REMEMBERED:
            del self._delivered[next(iter(self._delivered))]

    async def _settings_for(self, job: Job) -> ChannelSettings:
        """The channel's settings as they are now. Raises Unusable."""
        around, notification, channel_id = self._around, job.notification, job.notification.channel_id
        channel = around.directory.get(channel_id)
        if channel is None:
            # The notification may have come before its channel; all that wait do so at the same time.
            waited_s = max(0, around.transport.clock.now_ms() - job.taken_ms) / 1_000
            channel = await around.directory.wait_for(channel_id, around.unknown_channel_wait_s - waited_s)
        if channel is None:
            raise Unusable(f"there is no channel {channel_id!r}; create it, then redrive")
        if channel.type != self.kind:
            raise Unusable(f"channel {channel_id!r} is of type {channel.type} now, not {self.kind}")
        if not channel.enabled and not notification.test:
            raise Unusable(f"channel {channel_id!r} is disabled; enable it, then redrive")
        return self._usable(channel)

    def _usable(self, channel: Channel) -> ChannelSettings:
        """The settings with open secrets, made once for each version of the channel. Raises Unusable."""
        known = self._settings.get(channel.id)
        if known is None or known[0] is not channel:
            known = (channel, _opened(channel, self._around.vault))
            self._settings[channel.id] = known
        return known[1]


def _opened(channel: Channel, vault: Vault) -> ChannelSettings:
    try:
        settings = check_config(channel.type, opened_config(channel, vault), stored=True)
        for name, problem in template_problems(settings):
            log.warning("a template is refused; messages have the plain text", channel_id=channel.id, **{name: problem})
        return settings
    except ValidationError as error:
        detail = "; ".join(map(str, config_errors(channel.type, error)))
    except UnknownChannelType as error:
        detail = f"type: {error}"
    except VaultError as error:
        detail = f"config.{error}"
    raise Unusable(f"the settings of channel {channel.id!r} cannot be used: {detail}")
