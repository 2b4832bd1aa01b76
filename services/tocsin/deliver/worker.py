"""Settles notifications of one channel type: sends, tries again, and gives up with a reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import structlog
from pydantic import ValidationError

from tocsin.deliver import metrics
from tocsin.deliver.channels import UnknownChannelType, channel_type, check_config
from tocsin.deliver.credentials import config_errors, opened_config, redacted
from tocsin.deliver.directory import Directory
from tocsin.deliver.journal import Journal
from tocsin.deliver.lane import Job, Lane
from tocsin.deliver.message import compose
from tocsin.deliver.protocol import (
    Authentication,
    DeliveryError,
    Outgoing,
    Permanent,
    Receipt,
    Transient,
    Transport,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.tail import Tail
from tocsin.schemas.channel import Channel
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Notification, Outcome
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
    base_url: str
    unknown_channel_wait_s: float = UNKNOWN_CHANNEL_WAIT_S


class Unusable(Permanent):
    """The channel itself is at fault: it is gone, disabled, or its settings cannot be used."""


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
        self._settings: dict[str, tuple[Channel, ChannelSettings]] = {}
        self._send = channel_type(kind).send
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

    def remember(self, tail: Tail) -> None:
        """What earlier processes delivered is not sent again."""
        self._delivered |= dict.fromkeys(tail.delivered)

    def submit(self, job: Job) -> None:
        """Take a job on; it is finished in its claim's ledger once it is settled."""
        self._lane(job.notification.channel_id).add(job)

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

    def _lane(self, channel_id: str) -> Lane:
        if channel_id not in self._lanes:
            self._lanes[channel_id] = Lane(self._settle, self._spawn)
        return self._lanes[channel_id]

    async def _settle(self, job: Job, lane: Lane) -> None:
        """Until the job is delivered, given up, or no longer ours."""
        while job.claim.live:
            if job.notification.id in self._delivered:
                metrics.REPEATS_DROPPED.labels(self.kind).inc()
                return job.claim.ledger.finish(job.record.offset)
            if not await self._ready(job, lane):
                return None
            if await self._attempt(job, lane):
                return job.claim.ledger.finish(job.record.offset)
        return None

    async def _ready(self, job: Job, lane: Lane) -> bool:
        """Wait for the job's time, the receiver's rest and the rate limit; False if the claim is gone."""
        clock = self._around.transport.clock
        while job.claim.live:
            wait_ms = max(job.not_before_ms - clock.now_ms(), lane.breaker.wait_ms(clock.now_ms()))
            if wait_ms > 0:
                await job.claim.pause(wait_ms / 1_000)
                continue
            await lane.slots.acquire(job.urgency)
            hold_s = self._obstacle_s(job, lane)
            if not hold_s:
                return True
            lane.slots.release()
            await job.claim.pause(hold_s)
        return False

    def _obstacle_s(self, job: Job, lane: Lane) -> float:
        """With a slot in hand: how long to wait for what has changed meanwhile, and for the rate limit; 0 is go."""
        now_ms = self._around.transport.clock.now_ms()
        if not job.claim.live or not self._may_send():
            return _POLL_S
        if lane.breaker.wait_ms(now_ms):
            return lane.breaker.wait_ms(now_ms) / 1_000
        channel = self._around.directory.get(job.notification.channel_id)
        try:
            bucket = lane.bucket(self._usable(channel).rate_limit) if channel else None
        except Unusable:
            return 0  # the attempt will say so
        if bucket is None:
            return 0
        if not bucket.wait_ms(now_ms):
            bucket.take(now_ms)
            return 0
        return bucket.wait_ms(now_ms) / 1_000

    async def _attempt(self, job: Job, lane: Lane) -> bool:
        """Make one attempt, holding a slot; True if the job is settled."""
        began_s = time.monotonic()
        self._wire(+1)
        job.attempts += 1
        receipt: Receipt | None = None
        failure: DeliveryError | None = None
        now_ms = self._around.transport.clock.now_ms()
        job.first_at_ms = now_ms if job.first_at_ms is None else job.first_at_ms
        settings = ChannelSettings()
        try:
            settings = await self._settings_for(job.notification)
            receipt = await self._sent(job, settings)
        except DeliveryError as error:
            failure = error
        finally:
            lane.slots.release()
        try:
            return await self._noted(job, lane, settings, receipt or failure, time.monotonic() - began_s)
        finally:
            self._wire(-1)

    def _wire(self, change: int) -> None:
        self._sending += change
        if self._sending:
            self._idle.clear()
        else:
            self._idle.set()

    async def _noted(
        self, job: Job, lane: Lane, settings: ChannelSettings, ended: Receipt | DeliveryError | None, latency_s: float
    ) -> bool:
        """Write down how an attempt ended; True if the job is settled."""
        assert ended is not None
        metrics.LATENCY.labels(self.kind).observe(latency_s)
        if isinstance(ended, DeliveryError):
            ended.detail = redacted(ended.detail, settings)
            return await self._failed(job, lane, settings, ended, latency_s)
        lane.breaker.answered()
        self._remember_delivered(job.notification.id)
        shown = replace(ended, text=redacted(ended.text, settings), detail=redacted(ended.detail, settings))
        await self._around.journal.record(self._delivery(job, "delivered", latency_s, told=shown))
        return True

    async def _sent(self, job: Job, settings: ChannelSettings) -> Receipt:
        try:
            if job.outgoing is None:
                message = compose(job.notification, self._around.base_url, settings.template)
                job.outgoing = Outgoing(job.notification, message)
            receipt: Receipt = await self._send(settings, job.outgoing, self._around.transport)
            return receipt
        except DeliveryError:
            raise
        except Exception as error:
            # At this edge everything counts: a channel that fails on one message must not stop the others.
            log.exception("channel failed", channel_id=job.notification.channel_id, notification=job.notification.id)
            raise Permanent(f"the channel failed on this notification: {type(error).__name__}") from None

    async def _failed(
        self, job: Job, lane: Lane, settings: ChannelSettings, failure: DeliveryError, latency_s: float
    ) -> bool:
        clock = self._around.transport.clock
        now_ms = clock.now_ms()
        if isinstance(failure, Transient) and not job.notification.test:
            elapsed_ms = now_ms - (job.first_at_ms or now_ms)
            wait_ms = settings.retry.policy.next_wait_ms(
                job.attempts, elapsed_ms, clock.chance(), failure.retry_after_s
            )
            if wait_ms is not None:
                job.not_before_ms = now_ms + wait_ms
                lane.breaker.failed(job.not_before_ms, asked=failure.retry_after_s is not None)
                delivery = self._delivery(job, "retrying", latency_s, told=failure, next_at_ms=job.not_before_ms)
                await self._around.journal.record(delivery)
                return False
        elif not isinstance(failure, Unusable):
            lane.breaker.answered()
        await self._give_up(job, failure, latency_s)
        return True

    async def _give_up(self, job: Job, failure: DeliveryError, latency_s: float) -> None:
        """The record is dead-lettered before the attempt says so: a crash in between repeats, and loses nothing."""
        reason = _reason(failure)
        log.warning(
            "notification given up",
            channel_id=job.notification.channel_id,
            notification=job.notification.id,
            reason=reason,
            detail=failure.detail,
        )
        metrics.DEAD_LETTERS.labels(self.kind, reason).inc()
        if not job.notification.test:
            journal = self._around.journal
            await journal.give_up(job.record, reason, job.notification.channel_id, failure.detail)
        await self._around.journal.record(self._delivery(job, "failed", latency_s, told=failure))

    def _delivery(
        self,
        job: Job,
        outcome: Outcome,
        latency_s: float,
        *,
        told: Receipt | DeliveryError,
        next_at_ms: int | None = None,
    ) -> Delivery:
        metrics.ATTEMPTS.labels(self.kind, outcome).inc()
        notification, event = job.notification, job.notification.event
        place = (job.record.partition, job.record.offset)
        return Delivery(
            # A redrive begins to count anew, from another place.
            id=stable_id("delivery", notification.id, *place, job.attempts),
            notification_id=notification.id,
            channel_id=notification.channel_id,
            channel_type=notification.channel_type,
            event_id=event.id,
            fingerprint=event.fingerprint,
            rule_id=event.rule_id,
            event_type=event.type,
            attempt=job.attempts,
            outcome=outcome,
            at=format_instant(self._around.transport.clock.now_ms()),
            latency_ms=round(latency_s * 1_000, 1),
            status_code=told.status_code,
            receipt=told.text if isinstance(told, Receipt) else "",
            detail=told.detail,
            next_attempt_at=None if next_at_ms is None else format_instant(next_at_ms),
            source=place,
            test=notification.test,
        )

    def _remember_delivered(self, identity: str) -> None:
        self._delivered[identity] = None
        while len(self._delivered) > _REMEMBERED:
            del self._delivered[next(iter(self._delivered))]

    async def _settings_for(self, notification: Notification) -> ChannelSettings:
        """The channel's settings as they are now. Raises Unusable."""
        around, channel_id = self._around, notification.channel_id
        channel = around.directory.get(channel_id)
        if channel is None:
            channel = await around.directory.wait_for(channel_id, around.unknown_channel_wait_s)
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
        return check_config(channel.type, opened_config(channel, vault))
    except ValidationError as error:
        detail = "; ".join(map(str, config_errors(channel.type, error)))
    except UnknownChannelType as error:
        detail = f"type: {error}"
    except VaultError as error:
        detail = f"config.{error}"
    raise Unusable(f"the settings of channel {channel.id!r} cannot be used: {detail}")


def _reason(failure: DeliveryError) -> str:
    if isinstance(failure, Transient):
        return "retries exhausted"
    if isinstance(failure, Unusable):
        return "channel unusable"
    return "credentials refused" if isinstance(failure, Authentication) else "refused"
