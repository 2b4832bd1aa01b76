"""The route service: lifecycle and route in one worker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import structlog
from faust.types import TP

from tocsin.agents.app import WorkerSettings, make_app, make_table, new_outbox, read_runs, run_worker
from tocsin.agents.background import Background
from tocsin.agents.clock import clock_ms
from tocsin.agents.config_log import ConfigLog
from tocsin.agents.forgetting import Forgetting
from tocsin.agents.lifecycle import Lifecycle
from tocsin.agents.once import Once
from tocsin.agents.progress import ProgressWriter
from tocsin.agents.route import Route
from tocsin.agents.routing import RoutingState
from tocsin.agents.run_table import RunTable
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle import record as lifecycle_record
from tocsin.engine.route import store as route_store
from tocsin.engine.route.reminders import Reminders
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.topics import Topics

_TICK_S: Final = 1.0
_FORGET_EVERY_S: Final = 4 * 3_600.0
_IN_HAND_S: Final = 5.0  # how long a graceful stop waits for alerts that are being routed
_PATIENCE_S: Final = 5.0
_AT_ONCE: Final = 16  # runs: most of what one costs is waiting for Kafka, while those of other partitions can go on
_log = structlog.get_logger("tocsin.route")


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What the route service is told: the partition count of the topics keyed by fingerprint."""

    partitions: int


class _Service:
    """Everything of one worker that needs its event loop."""

    def __init__(
        self,
        app: BatchApp,
        worker: WorkerSettings,
        topics: Topics,
        tables: Sequence[Any],
        assigned: asyncio.Event,
        partitions: int,
    ) -> None:
        self._app, self._worker, self._assigned = app, worker, assigned
        self._outbox = new_outbox(worker)
        self._background, self._early = Background(app), Background(app)
        self._book = RuleBook()
        self._tables = [RunTable(self._outbox, table) for table in tables]
        self._topics, self._partitions = topics, partitions
        self._judging, self._at_rest = 0, asyncio.Event()
        self._at_rest.set()
        self._state = RoutingState(partitions)
        self._moved = asyncio.Event()  # a mark came, or lifecycle finished something
        self._inhibits = asyncio.Event()  # something may be inhibited
        self.lifecycle = Lifecycle(app, self._tables[0], topics, self._book, self._hand_over, self._moved.set)
        self.route = Route(app, self._tables[1], topics, self._state, self._make_way)
        self.rules = ConfigLog(dict(worker.client), topics.rules, self._on_rule)
        readers = {
            topics.channels: self._state.read_channel,
            topics.routes: self._on_routing,
            topics.silences: self._state.read_silence,
            topics.escalations: self._state.read_escalation,
        }
        self._routing = [ConfigLog(dict(worker.client), topic, read) for topic, read in readers.items()]
        self._marks = ConfigLog(dict(worker.client), topics.marks, self._on_mark)
        self._progress = ProgressWriter(app, self._outbox, topics, self.lifecycle, self._state.marks)
        heard, told = self._tables
        inputs, events = (topics.signals, topics.commands), (topics.alerts, topics.groups)
        self._forgetting = {
            topics.signals: Forgetting(app, heard, inputs, lifecycle_record.is_over, self.lifecycle.forgotten),
            topics.alerts: Forgetting(app, told, events, route_store.is_over, gone=self.route.forgot),
        }
        self._board = Once(self._start_board)
        self._reminders = Reminders()

    def _on_rule(self, offset: int, key: bytes, value: bytes | None, at_ms: int) -> None:
        ignored = self._book.append(offset, key, value, at_ms)
        if ignored:
            _log.warning("a rule that cannot be read was ignored", rule=ignored)

    @classmethod
    async def started(
        cls,
        app: BatchApp,
        worker: WorkerSettings,
        topics: Topics,
        tables: Sequence[Any],
        assigned: asyncio.Event,
        partitions: int,
    ) -> Self:
        """A service that is connected and has read all configuration."""
        made = cls(app, worker, topics, tables, assigned, partitions)
        await made._start()
        return made

    async def _start(self) -> None:
        await self._outbox.start()
        logs = [self.rules, *self._routing]
        await asyncio.gather(*(log.start() for log in logs))
        for log in logs:
            self._background.run(log.follow())
        self._state.follow(self._routing, self._board.get)
        self._background.run(self._announce())
        self._background.run(self._tick())
        self._background.run(self._watch())
        self._background.run(self._forget())

    async def _watch(self) -> None:
        """Follow states and marks wherever something may be inhibited: others wait for what lifecycle says of marks."""
        await self._inhibits.wait()
        await self._board.get()

    def _on_routing(self, offset: int, key: bytes, value: bytes | None, at_ms: int) -> None:
        self._state.read_routing(offset, key, value, at_ms)
        if not self._state.muting.inhibitor.is_idle:
            self._inhibits.set()

    def _on_mark(self, offset: int, key: bytes, value: bytes | None, at_ms: int) -> None:
        self._state.read_mark(offset, key, value, at_ms)
        self._moved.set()

    async def _start_board(self) -> ConfigLog:
        """Follow the states of all alerts and marks, from when something may be inhibited for the first time."""
        client = dict(self._worker.client)
        board = ConfigLog(client, self._topics.alert_state, self._state.read_active, self._partitions)
        await asyncio.gather(board.start(), self._marks.start())
        self._background.run(board.follow())
        self._background.run(self._marks.follow())
        self._background.run(self._follow_marks())
        return board

    async def _follow_marks(self) -> None:
        """Say how far lifecycle is where marks wait for it, and look at once at what waited for marks."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            await self._progress.write()
            groups = [tp for tp in sorted(self._app.reader.assignment()) if tp.topic == self._topics.groups]
            tick = codec.encode(RouteTick(clock_ms()))
            reached = [tp for tp in groups if self.route.newly_reached(tp.partition)]
            await self._outbox.acknowledged(
                [await self._outbox.send(tp.topic, tick, partition=tp.partition) for tp in reached]
            )

    async def _tick(self) -> None:
        """Write what time it is to the partitions of `groups` and `commands` where that matters."""
        wanted = {self._topics.groups: self.route.wants_tick, self._topics.commands: self.lifecycle.wants_tick}
        first = TP(self._topics.commands, 0)  # whoever has it speaks of silences, which belong to no partition
        while True:
            await asyncio.sleep(_TICK_S)
            now_ms, assigned = clock_ms(), self._app.reader.assignment()
            tick = codec.encode(RouteTick(now_ms))
            sent = [
                await self._outbox.send(tp.topic, tick, partition=tp.partition)
                for tp in sorted(assigned)
                if tp.topic in wanted and wanted[tp.topic](tp.partition)
            ]
            due = self._reminders.due(self._state.muting.silences, now_ms) if first in assigned else []
            sent += [
                await self._outbox.send(first.topic, codec.encode(one), key=one.fingerprint.encode()) for one in due
            ]
            await self._outbox.acknowledged(sent)

    async def _forget(self) -> None:
        """Every few hours, let go what is kept of alerts that were over long ago."""
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            for tp in sorted(self._app.reader.assignment()):
                if found := self._forgetting.get(tp.topic):
                    await found.sweep(tp.partition, clock_ms())

    async def _announce(self) -> None:
        await self._assigned.wait()
        self._worker.on_ready()

    async def stop(self) -> None:
        """Disconnect; what was taken is finished, and Faust commits afterwards."""
        await self._early.finish(_IN_HAND_S)
        await self._early.stop()
        await self._background.stop()
        await self.rules.stop()
        board = self._board.if_made()
        await asyncio.gather(*(log.stop() for log in (*self._routing, *([board, self._marks] if board else []))))
        await self._outbox.stop()

    def _hand_over(self, partition: int, events: Sequence[AlertEvent]) -> None:
        """Critical alerts are routed at once, whatever else waits to be."""
        self._early.run(self.route.take_early(partition, events))

    async def take_inputs(self, tp: TP, run: Any) -> None:
        """A run of `signals` or `commands`."""
        self._judging += 1
        self._at_rest.clear()
        try:
            await self.lifecycle.take(tp, run, self.rules)
        finally:
            self._judging -= 1
            if not self._judging:
                self._at_rest.set()

    async def _make_way(self, since_s: float) -> None:
        """In a storm alerts come to be first, and critical ones are routed; then the rest, or some seconds after it
        came: however many runs wait for each other, none is later than that because of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(since_s + _PATIENCE_S):
                await self._at_rest.wait()

    async def take_alerts(self, tp: TP, run: Any) -> None:
        """A run of `alerts` or `groups`."""
        await self.route.take(tp, run)

    def forget(self, revoked: set[Any]) -> None:
        """Partitions went away, for a moment or for good."""
        self._app.committable.forget(revoked)
        self._app.committable.cleared()
        for table in self._tables:
            table.forget()
        self.route.forget()
        self.lifecycle.forget()


def run(worker: WorkerSettings, settings: RouteSettings, topics: Topics) -> None:
    """Run the route service until it is told to stop."""
    app = make_app(worker, [topics.signals, topics.commands, topics.alerts, topics.groups])
    names = ("route-alerts", "route-notified")
    tables = [make_table(app, name, topics.changelog(f"{name}-changelog"), settings.partitions) for name in names]
    assigned = asyncio.Event()
    service = Once(lambda: _Service.started(app, worker, topics, tables, assigned, settings.partitions))

    async def on_revoked(_: Any, *revoked: Any, **__: Any) -> None:
        if made := service.if_made():
            made.forget(set(revoked[0]))

    async def on_assigned(_: Any, *partitions: Any, **__: Any) -> None:
        if partitions[0]:
            assigned.set()

    app.on_partitions_revoked.connect(cast("Any", on_revoked))
    app.on_partitions_assigned.connect(cast("Any", on_assigned))

    read_runs(app, [topics.signals, topics.commands], "lifecycle", service, _Service.take_inputs, _AT_ONCE)
    read_runs(app, [topics.alerts], "route", service, _Service.take_alerts, _AT_ONCE)
    read_runs(app, [topics.groups], "groups", service, _Service.take_alerts, _AT_ONCE)

    @app.on_before_shutdown.connect
    async def on_stop(*_: Any, **__: Any) -> None:
        if made := service.if_made():
            await made.stop()

    run_worker(app, worker)
