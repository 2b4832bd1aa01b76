"""What becomes of a notification, written down: each attempt, what was given up, and what is to be remembered."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import structlog

from tocsin.deliver import metrics
from tocsin.deliver.directory import Directory
from tocsin.deliver.journal import Journal
from tocsin.deliver.lane import Job
from tocsin.deliver.memory import Memory, is_over
from tocsin.deliver.protocol import Authentication, Clock, DeliveryError, Permanent, Receipt, Transient
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Notification, Outcome, fallback_id

_SHOWN = 300
log = structlog.get_logger("tocsin.deliver.books")


class Unusable(Permanent):
    """The channel itself is at fault: it is gone, disabled, or its settings cannot be used."""


class Books:
    """Those of one channel type. `memory` is replaced when another process may have written to it."""

    def __init__(self, kind: str, journal: Journal, directory: Directory, clock: Clock) -> None:
        self._kind = kind
        self._journal = journal
        self._directory = directory
        self._clock = clock
        self.memory = Memory()

    async def delivered(self, job: Job, receipt: Receipt, latency_s: float, together: int = 1) -> None:
        """The receiver took it, alone or with others in a digest. What is to be remembered is written first: the entry
        of the attempt says that nothing is left to do."""
        notification = job.notification
        before, over = self.memory.of(notification), is_over(notification)
        if over and before is not None and before.fallback:
            await self.hand_over(job, before.fallback, "it is over")
        if not over and together == 1 and receipt.reference:
            await self._remember(notification, receipt)
        if together > 1:
            receipt = replace(receipt, text=f"in a digest of {together}: {receipt.text}")
        await self._journal.record(self._delivery(job, "delivered", latency_s, told=receipt))
        if over and before is not None:
            self.memory.apply(before.key, None)
            await self._journal.forget(before.key)

    async def limited(self, job: Job, until_ms: int) -> None:
        """The channel's rate limit keeps it from its first attempt, at least until then."""
        await self._journal.record(self._delivery(job, "rate limited", 0.0, next_at_ms=until_ms))

    async def retrying(self, job: Job, failure: DeliveryError, latency_s: float) -> None:
        """It is tried again at the job's time."""
        delivery = self._delivery(job, "retrying", latency_s, told=failure, next_at_ms=job.not_before_ms)
        await self._journal.record(delivery)

    async def gave_up(self, job: Job, failure: DeliveryError, latency_s: float) -> None:
        """The record is dead-lettered before the attempt says so: a crash in between repeats, and loses nothing."""
        reason, notification = _reason(failure), job.notification
        log.warning(
            "notification given up",
            channel_id=notification.channel_id,
            notification=notification.id,
            reason=reason,
            detail=failure.detail,
        )
        metrics.DEAD_LETTERS.labels(self._kind, reason).inc()
        if not notification.test:
            await self._journal.give_up(job.record, reason, notification.channel_id, failure.detail)
        await self._journal.record(self._delivery(job, "failed", latency_s, told=failure))

    async def fall_back(self, job: Job, failure: DeliveryError) -> None:
        """Tell the channel's fallback once, if it has one. A repeat after a crash carries the same id."""
        notification = job.notification
        channel = self._directory.get(notification.channel_id)
        name = str(channel.config.get("fallback") or "") if channel is not None else ""
        if not name or notification.test or job.fell_back:
            return
        job.fell_back = True
        if not await self.hand_over(job, name, failure.detail):
            return
        entry = self.memory.after(notification, fallback=name)
        if entry is not None and not is_over(notification):
            self.memory.apply(entry.key, entry)
            await self._journal.remember(entry)

    async def hand_over(self, job: Job, name: str, why: str) -> bool:
        """Give a notification to another channel; False where that cannot be: there is none, or it was tried before."""
        notification = job.notification
        other = self._directory.get(name)
        if other is None or not other.enabled or name in (notification.channel_id, *notification.instead_of):
            log.warning("no fallback", channel_id=notification.channel_id, fallback=name)
            return False
        instead = (*notification.instead_of, notification.channel_id)
        note = f"Told here instead of by the channel {notification.channel_id!r}: {why}"
        handed = msgspec.structs.replace(
            notification,
            id=fallback_id(notification.id, name),
            channel_id=name,
            channel_type=other.type,
            note=note[:_SHOWN],
            instead_of=instead,
        )
        metrics.FALLBACKS.labels(self._kind).inc()
        await self._journal.hand_over(handed)
        return True

    async def _remember(self, notification: Notification, receipt: Receipt) -> None:
        entry = self.memory.after(notification, receipt.reference)
        if entry is not None:
            self.memory.apply(entry.key, entry)
            await self._journal.remember(entry)

    def _delivery(
        self,
        job: Job,
        outcome: Outcome,
        latency_s: float,
        *,
        told: Receipt | DeliveryError | None = None,
        next_at_ms: int | None = None,
    ) -> Delivery:
        if told is not None:
            metrics.ATTEMPTS.labels(self._kind, outcome).inc()
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
            at=format_instant(self._clock.now_ms()),
            latency_ms=round(latency_s * 1_000, 1),
            status_code=told.status_code if told else None,
            receipt=told.text if isinstance(told, Receipt) else "",
            detail=told.detail if told else "",
            next_attempt_at=None if next_at_ms is None else format_instant(next_at_ms),
            source=place,
            test=notification.test,
        )


def _reason(failure: DeliveryError) -> str:
    if isinstance(failure, Transient):
        return "retries exhausted"
    if isinstance(failure, Unusable):
        return "channel unusable"
    return "credentials refused" if isinstance(failure, Authentication) else "refused"
