"""A process of the route service: lifecycle and route, each a table of runs."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle import record as alert_record
from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.step import NumberedCommand
from tocsin.engine.lifecycle.step import step as lifecycle
from tocsin.engine.memory_log import LogRecord
from tocsin.engine.route import record as route_record
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.step import step as route
from tocsin.engine.simulation.broker import (
    ALERT_TABLE,
    ALERTS,
    CHANNELS,
    COMMANDS,
    DEAD,
    DELIVERIES,
    RULES,
    SIGNALS,
    STATES,
    TOLD_TABLE,
    Broker,
    Outbox,
    Place,
)
from tocsin.engine.simulation.scenario import Scenario
from tocsin.engine.simulation.table import Output, RunTable
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.command import Command
from tocsin.schemas.notification import Notification
from tocsin.schemas.signal import Signal
from tocsin.schemas.topics import CHANNEL_TYPES

GROUP: Final = "route"
Input = Signal | NumberedCommand
TOPICS: Final = (SIGNALS, COMMANDS, ALERTS)


class BuriedRecord(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter of route: where it lay."""

    topic: str
    partition: int
    offset: int


class RouteProcess:
    """Lifecycle and route over the partitions that are ours. `on_applied` hears of inputs once they count."""

    group = GROUP

    def __init__(self, number: int, broker: Broker, scenario: Scenario) -> None:
        self.number, self.broker, self.scenario = number, broker, scenario
        self.outbox = Outbox(broker, number, scenario.partitions)
        self.alerts = RunTable(self.outbox, ALERT_TABLE, scenario.piece)
        self.told = RunTable(self.outbox, TOLD_TABLE, scenario.piece)
        self.book = RuleBook()
        self.channels: dict[str, Channel] = {}
        self.channels_position = 0
        self.partitions: list[int] = []
        self.positions: dict[Place, int] = {}
        self.committable: dict[Place, int] = {}
        self.on_applied: Callable[[list[Input]], None] = lambda _inputs: None

    def assign(self, partitions: Sequence[int]) -> None:
        """Partitions are ours from here on, whatever was before."""
        self.partitions = list(partitions)
        self.positions.clear()
        self.committable.clear()
        self.alerts.forget()
        self.told.forget()

    def follow(self) -> None:
        """Read what is new on `rules` and `channels`."""
        for record in self.broker.partition(RULES, 0).read(self.book.end):
            assert record.key is not None
            self.book.append(record.offset, record.key, record.value)
        for record in self.broker.partition(CHANNELS, 0).read(self.channels_position):
            assert record.key is not None
            if record.value is None:
                self.channels.pop(record.key.decode(), None)
            else:
                self.channels[record.key.decode()] = codec.decode_document(Channel, record.value, record.key.decode())
            self.channels_position = record.offset + 1

    def backlog(self) -> list[tuple[str, int]]:
        """Partitions with something to take."""
        return [
            (topic, partition)
            for topic in TOPICS
            for partition in self.partitions
            if self._position((topic, partition)) < self.broker.partition(topic, partition).end
        ]

    def _position(self, place: Place) -> int:
        return self.positions.get(place, self.broker.position(GROUP, place))

    def take(self, topic: str, partition: int, limit: int) -> None:
        """Take at most so many records of a partition as one run."""
        place = topic, partition
        records = self.broker.partition(topic, partition).read(self._position(place), limit)
        last = records[-1].offset
        name = f"{topic}/{partition}@{last}"
        if topic == ALERTS:
            self.told.recover(partition)
            self._route(partition, records, name)
        else:
            self.alerts.recover(partition)
            self._lifecycle(topic, partition, records, name)
        self.positions[place] = self.committable[place] = last + 1

    def _lifecycle(self, topic: str, partition: int, records: Sequence[LogRecord], name: str) -> None:
        inputs: list[Input] = []
        dead: list[Output] = []
        for record in records:
            try:
                inputs.append(_signal(record) if topic == SIGNALS else _command(record))
            except UnreadableRecord:
                letter = BuriedRecord(topic, partition, record.offset)
                dead.append(Output(DEAD, b"", msgspec.msgpack.encode(letter)))
        if any(isinstance(one, Signal) and one.revision >= self.book.end for one in inputs):
            self.follow()

        def find(fingerprint: str) -> AlertRecord | None:
            value = self.alerts.get(partition, fingerprint)
            return alert_record.decode(value) if value else None

        changes = lifecycle(inputs, find, self.book.rule_at)
        entries: dict[bytes, bytes | None] = {
            fingerprint.encode(): alert_record.encode(record) for fingerprint, record in changes.records.items()
        }
        events = [Output(ALERTS, event.fingerprint.encode(), codec.encode(event)) for event in changes.events]
        states = [
            Output(STATES, record.fingerprint.encode(), codec.encode(record.event) if record.event else None)
            for record in changes.records.values()
        ]
        done = self.on_applied
        self.alerts.finish(partition, name, entries, [*events, *states, *dead], lambda: done(inputs))

    def _route(self, partition: int, records: Sequence[LogRecord], name: str) -> None:
        events = [codec.decode(AlertEvent, record.value) for record in records]
        if any(event.type == "firing" for event in events):
            self.follow()

        def find(fingerprint: str) -> RouteRecord | None:
            value = self.told.get(partition, fingerprint)
            return route_record.decode(value) if value else None

        changes = route(events, find, self.channels, CHANNEL_TYPES)
        entries: dict[bytes, bytes | None] = {
            fingerprint.encode(): route_record.encode(record) for fingerprint, record in changes.records.items()
        }
        told = [
            Output(notifications(one.channel_type), one.group_key.encode(), codec.encode(one))
            for one in changes.notifications
        ]
        missed = [Output(DELIVERIES, one.notification_id.encode(), codec.encode(one)) for one in changes.unroutable]
        self.told.finish(partition, name, entries, [*told, *missed])

    def commit(self) -> None:
        """Commit what is finished."""
        committable, self.committable = self.committable, {}
        for place, offset in committable.items():
            self.outbox.commit(GROUP, place, offset)


def notifications(channel_type: str) -> str:
    """The topic of one channel type."""
    return f"notifications.{channel_type}"


def _signal(record: LogRecord) -> Input:
    return codec.decode(Signal, record.value)


def _command(record: LogRecord) -> Input:
    return NumberedCommand(record.offset, codec.decode(Command, record.value))


def told_of(record: LogRecord) -> Notification:
    """A record of `notifications`."""
    return codec.decode(Notification, record.value)
