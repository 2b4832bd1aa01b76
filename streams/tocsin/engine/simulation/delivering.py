"""A process of the deliver service, as far as it matters what is sent when: a model of its consumer and its worker.

It remembers what `deliveries` says was acknowledged, keeps the order within a group, waits before it tries again,
buries what a receiver refuses before it says so, and commits up to the first notification that is not settled.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tocsin.engine.simulation.broker import DEAD, DELIVERIES, Broker, Outbox, Place
from tocsin.engine.simulation.routing import BuriedRecord, notifications, told_of
from tocsin.engine.simulation.scenario import Scenario
from tocsin.schemas.notification import Notification

GROUP: Final = "deliver"
TYPES: Final = ("webhook", "console")
_RETRY_MS: Final = 1_500


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """As much of an entry of `deliveries` as delivery reads back."""

    notification_id: str
    outcome: str
    channel_type: str = ""
    source: tuple[int, int] | None = None
    next_ms: int = 0


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Attempt)


class Job:
    """A notification from its record to its settlement."""

    __slots__ = ("not_before_ms", "notification", "offset")

    def __init__(self, notification: Notification, offset: int, not_before_ms: int) -> None:
        self.notification, self.offset, self.not_before_ms = notification, offset, not_before_ms

    @property
    def group(self) -> tuple[str, str]:
        """What is kept in order."""
        return self.notification.channel_id, self.notification.group_key


class Claim:
    """A partition that is ours: the next offset to read, and the jobs that are not settled, in order."""

    __slots__ = ("jobs", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.jobs: list[Job] = []

    @property
    def committable(self) -> int:
        """Everything before it is settled."""
        return self.jobs[0].offset if self.jobs else self.position


class DeliverProcess:
    """Delivery over the partitions that are ours. `receive` is the outside world: True for taken, False for try again,
    None for refused for good."""

    group = GROUP

    def __init__(self, number: int, broker: Broker, scenario: Scenario) -> None:
        self.number, self.broker, self.scenario = number, broker, scenario
        self.outbox = Outbox(broker, number, scenario.partitions)
        self.receive: Callable[[Notification], bool | None] = lambda _notification: True
        self.claims: dict[Place, Claim] = {}
        self.delivered: set[str] = set()
        self.given_up: set[tuple[str, int, int]] = set()
        self.begun: dict[str, int] = {}
        self.has_read_tail = False

    def assign(self, places: Sequence[Place]) -> None:
        """Partitions are ours from here on; what is known of their notifications is read before the first one."""
        self.claims = {place: Claim(self.broker.position(GROUP, place)) for place in places}
        self.has_read_tail = False

    def read_tail(self) -> None:
        """What earlier processes settled is not sent again."""
        self.delivered, self.given_up, self.begun = set(), set(), {}
        for record in self.broker.records(DELIVERIES):
            entry = _decoder.decode(record.value or b"")
            if entry.outcome == "retrying":
                self.begun[entry.notification_id] = entry.next_ms
                continue
            self.begun.pop(entry.notification_id, None)
            if entry.outcome == "delivered":
                self.delivered.add(entry.notification_id)
            elif entry.source is not None:
                self.given_up.add((entry.channel_type, *entry.source))
        self.has_read_tail = True

    def backlog(self) -> list[tuple[str, int]]:
        """Partitions with something to take, or to send now."""
        now_ms = self.broker.clock_ms
        return [
            place
            for place, claim in self.claims.items()
            if claim.position < self.broker.partition(*place).end
            or any(job.not_before_ms <= now_ms for job in _heads(claim.jobs))
        ]

    def take(self, topic: str, partition: int, limit: int) -> None:
        """Take on at most so many notifications, then make one attempt at the first of each group."""
        if not self.has_read_tail:
            self.read_tail()
        claim = self.claims[topic, partition]
        kind = topic.removeprefix(notifications(""))
        for record in self.broker.partition(topic, partition).read(claim.position, limit):
            claim.position = record.offset + 1
            if (kind, partition, record.offset) in self.given_up:
                continue
            told = told_of(record)
            claim.jobs.append(Job(told, record.offset, self.begun.get(told.id, 0)))
        for job in _heads(claim.jobs):
            if job.not_before_ms <= self.broker.clock_ms and self._settled(job, topic, partition):
                claim.jobs.remove(job)

    def _settled(self, job: Job, topic: str, partition: int) -> bool:
        """Make an attempt and write down how it ended."""
        identity = job.notification.id
        if identity in self.delivered:
            return True
        answer = self.receive(job.notification)
        if answer:
            self.delivered.add(identity)
            self._record(Attempt(identity, "delivered", job.notification.channel_type))
            return True
        if answer is None:
            letter = BuriedRecord(topic, partition, job.offset)
            self.outbox.send(DEAD, b"", msgspec.msgpack.encode(letter), 0)
            self.outbox.acknowledged()
            self._record(Attempt(identity, "failed", job.notification.channel_type, (partition, job.offset)))
            return True
        job.not_before_ms = self.broker.clock_ms + _RETRY_MS
        self._record(Attempt(identity, "retrying", job.notification.channel_type, None, job.not_before_ms))
        return False

    def _record(self, attempt: Attempt) -> None:
        self.outbox.send(DELIVERIES, attempt.notification_id.encode(), _encoder.encode(attempt))
        self.outbox.acknowledged()

    def commit(self) -> None:
        """Commit what is settled."""
        for place, claim in self.claims.items():
            if claim.committable > self.broker.position(GROUP, place):
                self.outbox.commit(GROUP, place, claim.committable)


def _heads(jobs: Sequence[Job]) -> list[Job]:
    """The first job of each group."""
    found: dict[tuple[str, str], Job] = {}
    for job in jobs:
        found.setdefault(job.group, job)
    return list(found.values())
