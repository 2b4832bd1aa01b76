"""A process of the route service: lifecycle and route, in the order of reads and writes that the agents keep.

It may stand still before any record that it writes, until others have gone on with its partitions.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import msgspec

from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle import record as alert_record
from tocsin.engine.lifecycle.alarms import alarms_of
from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.step import Input, NumberedCommand
from tocsin.engine.lifecycle.step import step as lifecycle
from tocsin.engine.memory_log import LogRecord
from tocsin.engine.route.groups import GroupChanges
from tocsin.engine.route.known import Known
from tocsin.engine.route.runs import Done, Partition, Timed, TimedInput, tells
from tocsin.engine.route.step import Changes
from tocsin.engine.route.store import Index
from tocsin.engine.run_table import Output
from tocsin.engine.simulation.broker import (
    ALERT_TABLE,
    ALERTS,
    CHANNELS,
    COMMANDS,
    DEAD,
    DECISIONS,
    DELIVERIES,
    GROUPED,
    MARKS,
    ROUTES,
    RULES,
    SIGNALS,
    SILENCES,
    STATES,
    TOLD_TABLE,
    Broker,
    Outbox,
    Place,
    Violation,
)
from tocsin.engine.simulation.scenario import Scenario
from tocsin.engine.simulation.table import RunTable
from tocsin.engine.wakes import Wakes
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.command import Command
from tocsin.schemas.grouping import Join, RouteTick
from tocsin.schemas.mark import WorkedOff, mark_key
from tocsin.schemas.notification import Notification
from tocsin.schemas.signal import Signal

GROUP: Final = "route"
TOPICS: Final = (SIGNALS, COMMANDS, ALERTS, GROUPED)


class BuriedRecord(msgspec.Struct, array_like=True, frozen=True):
    """A dead letter of route: where it lay."""

    topic: str
    partition: int
    offset: int


class Attempt(NamedTuple):
    """A run that was tried, up to which write of all its process knew the configuration and the active alerts, and how
    many there were."""

    topic: str
    partition: int
    records: Sequence[LogRecord]
    known: int
    written: int


class Runs(NamedTuple):
    """Who hears of runs: `tries` of each by its name, `counts` of those from which there is no way back."""

    tries: Callable[[str, Attempt], None]
    counts: Callable[[str], None]


class RouteProcess:
    """Lifecycle and route over the partitions that are ours."""

    group = GROUP

    def __init__(self, number: int, broker: Broker, scenario: Scenario, runs: Runs) -> None:
        self.number, self.broker, self.scenario, self._runs = number, broker, scenario, runs
        self.outbox = Outbox(broker, number, scenario.partitions)
        self.alerts = RunTable(self.outbox, ALERT_TABLE, scenario.piece_bytes, runs.counts)
        self.told = RunTable(self.outbox, TOLD_TABLE, scenario.piece_bytes, runs.counts)
        self.book, self.known = RuleBook(), _Known(_ignored, scenario.partitions)
        self.partitions: list[int] = []
        self.positions: dict[Place, int] = {}
        self.committable: dict[Place, int] = {}
        self._read: dict[Place, int] = {}
        self._known = 0
        self._generation = 0
        self._indexes: dict[int, Index] = {}
        self._alarms: dict[int, Wakes] = {}
        self.rest_in_run: int | None = None
        self._tried = 0
        self._running: Coroutine[Any, Any, None] | None = None

    def assign(self, partitions: Sequence[int]) -> None:
        """Partitions are ours from here on, whatever was before."""
        self._generation = self.broker.generations.get(GROUP, 0)
        self.partitions = list(partitions)
        places = ((topic, partition) for topic in TOPICS for partition in partitions)
        self.positions = {place: self.broker.position(GROUP, place) for place in places}
        self.committable.clear()
        self._indexes.clear()
        self._alarms.clear()
        self.alerts.forget()
        self.told.forget()

    async def _holds(self, generation: int) -> bool:
        if self.outbox.rest is not None:
            await self.outbox.stop()
        return generation == self.broker.generations.get(GROUP, 0)

    def follow(self) -> None:
        """Read what is new on `rules`, on the topics of configuration, and while it matters on `alert-state`."""
        if self._known == self.broker.writes:
            return
        self.follow_rules()
        known = self.known
        self._follow(CHANNELS, 0, known.read_channel)
        self._follow(ROUTES, 0, known.read_routing)
        self._follow(SILENCES, 0, known.read_silence)
        if not known.muting.inhibitor.is_idle:
            self._follow(MARKS, 0, known.read_mark)
            for partition in range(self.scenario.partitions):
                self._follow(STATES, partition, known.read_active)
            known.up_to(known.marks.reached)
        self._known = self.broker.writes

    def follow_rules(self) -> None:
        """Read what is new on `rules`."""
        for record in self.broker.partition(RULES, 0).read(self.book.end):
            assert record.key is not None
            self.book.append(record.offset, record.key, record.value)

    def _follow(self, topic: str, partition: int, read: Callable[[int, bytes, bytes | None, int], None]) -> None:
        place = topic, partition
        found = self.broker.partition(topic, partition)
        begin = self._read.get(place, 0)
        if begin < found.end:
            for offset, key, value, at_ms in found.read(begin):
                assert key is not None
                read(offset, key, value, at_ms)
            self._read[place] = found.end

    def backlog(self) -> list[tuple[str, int]]:
        """Partitions with something to take."""
        if self._running is not None:
            return []
        log = self.broker.partitions
        return [place for place, position in self.positions.items() if place in log and position < log[place].end]

    def tick(self) -> None:
        """Write what time it is to partitions of `groups` and `commands` where that matters, and answer marks."""
        value = codec.encode(RouteTick(self.broker.clock_ms))
        for partition in self.partitions:
            index = self._indexes.get(partition)
            if index is None or index.is_waiting(self.known.version):
                self.outbox.send(GROUPED, None, value, partition)
            if self._alarms.get(partition, True):
                self.outbox.send(COMMANDS, None, value, partition)
            position = self.worked_off(partition)
            if self.known.marks.stated(partition) < min(position, self.known.marks.wanted(partition)):
                self.outbox.send(MARKS, mark_key("lifecycle", partition), codec.encode(WorkedOff(position)), 0)
        self.outbox.acknowledged()

    def worked_off(self, partition: int) -> int:
        """The offset of `signals` before which everything is done."""
        place = SIGNALS, partition
        return max(self.positions[place], self.broker.position(GROUP, place))

    @property
    def is_still(self) -> bool:
        """Whether it stopped in the middle of a run."""
        return self._running is not None

    def take(self, topic: str, partition: int, limit: int) -> None:
        """Take at most so many records of a partition as one run, or stand still in it."""
        self._running = self._take(topic, partition, limit)
        self.go_on()

    def go_on(self) -> None:
        """Go on with the run in which it stands still."""
        if self._running is not None:
            try:
                self._running.send(None)
            except StopIteration:
                self._running = None

    async def _take(self, topic: str, partition: int, limit: int) -> None:
        generation = self._generation
        is_of_alerts = topic in (SIGNALS, COMMANDS)
        table = self.alerts if is_of_alerts else self.told

        async def holds() -> bool:
            return await self._holds(generation)

        if not await holds() or not await table.recover(partition, generation, holds):
            return
        place = topic, partition
        records = self.broker.partition(topic, partition).read(self.positions[place], limit)
        apply = self._lifecycle if is_of_alerts else self._route
        if await apply(topic, partition, records) and generation == self._generation:
            self.positions[place] = self.committable[place] = records[-1].offset + 1

    def _attempt(self, topic: str, partition: int, records: Sequence[LogRecord]) -> Attempt:
        return Attempt(topic, partition, records, self._known, self.broker.writes)

    async def _finish(
        self,
        table: RunTable,
        attempt: Attempt,
        entries: Mapping[str, bytes | None],
        outputs: Sequence[Output],
    ) -> bool:
        self._tried += 1
        name = f"{attempt.topic}/{attempt.partition}@{attempt.records[-1].offset}, {self.number}.{self._tried}"
        self._runs.tries(name, attempt)
        if self.rest_in_run is not None and (entries or outputs):
            self.outbox.rest, self.rest_in_run = self.rest_in_run, None
        if not await table.finish(attempt.partition, name, entries, outputs):
            return False
        self._runs.counts(name)
        return True

    async def _lifecycle(self, topic: str, partition: int, records: Sequence[LogRecord]) -> bool:
        inputs: list[Input] = []
        dead: list[Output] = []
        for record in records:
            try:
                inputs.append(input_of(topic, record))
            except UnreadableRecord:
                letter = BuriedRecord(topic, partition, record.offset)
                dead.append(Output(DEAD, b"", msgspec.msgpack.encode(letter)))
        if any(isinstance(one, Signal) and one.revision >= self.book.end for one in inputs):
            self.follow_rules()
        alarms = self._alarms.get(partition)
        if alarms is None:
            alarms = self._alarms[partition] = alarms_of(self.alerts, partition, _damaged)

        def find(fingerprint: str) -> AlertRecord | None:
            value = self.alerts.get(partition, fingerprint)
            return alert_record.decode(value) if value else None

        changes = lifecycle(inputs, find, self.book.rule_at, alarms.due)
        assert not changes.failed, changes.failed
        entries = {name: alert_record.encode(record) for name, record in changes.records.items()}
        outputs = [Output(ALERTS, event.fingerprint.encode(), codec.encode(event)) for event in changes.events]
        outputs += [
            Output(STATES, name.encode(), codec.encode(event) if event else None) for name, event in changes.states()
        ]
        attempt = self._attempt(topic, partition, records)
        if not await self._finish(self.alerts, attempt, entries, [*outputs, *dead]):
            return False
        alarms.update({name: record.wake_ms for name, record in changes.records.items()})
        return True

    async def _route(self, topic: str, partition: int, records: Sequence[LogRecord]) -> bool:
        index = self._indexes.get(partition)
        if index is None:
            index = self._indexes[partition] = Index.of(self.told, partition, _damaged)
        one = Partition(partition, self.known, index, _damaged)

        def get(key: str) -> bytes | None:
            return self.told.get(partition, key)

        watermark_ms = self.known.reached_ms
        done: Done
        if topic == ALERTS:
            events = [event_of(record) for record in records]
            if tells(events, index, watermark_ms):
                self.follow()
            done = one.alerts(events, get)
        else:
            inputs = [grouped_of(record) for record in records]
            if tells(inputs, index, watermark_ms):
                self.follow()
            index.follow(self.known.version)
            done = one.groups(inputs, get)
        outputs = [output for changes in done.changes for output in _outputs(changes)]
        if not await self._finish(self.told, self._attempt(topic, partition, records), done.entries, outputs):
            self._indexes.pop(partition, None)  # it is ahead of what is written
            return False
        index.put(done.entries)
        if topic == GROUPED:
            index.looked()
        return True

    def commit(self) -> None:
        """Commit what is finished."""
        committable, self.committable = self.committable, {}
        for place, offset in committable.items():
            self.outbox.commit(GROUP, place, offset)


def _outputs(changes: Changes | GroupChanges) -> list[Output]:
    found = [
        Output(notifications(one.channel_type), one.group_key.encode(), codec.encode(one))
        for one in changes.notifications
    ]
    found += [Output(DELIVERIES, one.notification_id.encode(), codec.encode(one)) for one in changes.unroutable]
    if isinstance(changes, Changes):
        found += [Output(GROUPED, one.group_key.encode(), codec.encode(one)) for one in changes.joins]
    return found + [Output(DECISIONS, one.fingerprint.encode(), codec.encode(one)) for one in changes.decisions]


def _ignored(what: str, key: str, reason: str) -> None:
    raise Violation("nothing-ignored", f"{what} {key}: {reason}")


def _damaged(what: str) -> None:
    raise Violation("nothing-damaged", what)


def notifications(channel_type: str) -> str:
    """The topic of one channel type."""
    return f"notifications.{channel_type}"


# Records are frozen, and read by many: by each process that takes them, and by the oracle.
_signal: Final = lru_cache(maxsize=4_096)(partial(codec.decode, Signal))
_command: Final = lru_cache(maxsize=4_096)(partial(codec.decode, Command))
_tick: Final = lru_cache(maxsize=4_096)(partial(codec.decode, RouteTick))
_grouped: Final = lru_cache(maxsize=4_096)(codec.decode_group_input)
alert_in: Final = lru_cache(maxsize=4_096)(partial(codec.decode, AlertEvent))
told_in: Final = lru_cache(maxsize=4_096)(partial(codec.decode, Notification))


def input_of(topic: str, record: LogRecord) -> Input:
    """A record of `signals` or `commands`; raises UnreadableRecord."""
    if topic == SIGNALS:
        return _signal(record.value)
    if record.key is None:
        return _tick(record.value)
    return NumberedCommand(record.offset, _command(record.value))


def event_of(record: LogRecord) -> Timed:
    """A record of `alerts`, and when it was written."""
    return record.at_ms, alert_in(record.value)


def grouped_of(record: LogRecord) -> TimedInput:
    """A record of `groups`, and its time."""
    item = _grouped(record.value)
    return (record.at_ms if isinstance(item, Join) else item.at_ms), item


def told_of(record: LogRecord) -> Notification:
    """A record of `notifications`."""
    return told_in(record.value)


class _Known(Known):
    """What route knows; documents and trees are frozen, and read by every process."""

    _read = staticmethod(lru_cache(maxsize=4_096)(Known(_ignored)._read))  # type: ignore[assignment]  # noqa: SLF001
    _tree = staticmethod(lru_cache(maxsize=4_096)(Known(_ignored)._tree))  # noqa: SLF001
