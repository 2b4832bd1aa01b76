"""The lifecycle agent: signals, commands and time in, alert events and alert states out.

May block: on Kafka's acknowledgements, run by run, and on the rules topic when a signal names a revision not read yet.
Revocation: what is not finished is not committed; the next owner sends the journal and takes the same inputs again.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from faust.types import TP

from tocsin.agents.config_log import ConfigLog
from tocsin.agents.keyed import KeyedRun, Outcome, keyed_runs, settled
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.run_table import Output, RunTable
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.lifecycle.alarms import alarms_of
from tocsin.engine.lifecycle.record import AlertRecord, DamagedRecord, decode, encode
from tocsin.engine.lifecycle.step import Input, NumberedCommand, step
from tocsin.engine.wakes import Wakes
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.dead_letter import Header
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.kinds import Severity
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.signal import Signal
from tocsin.schemas.topics import Topics

_STAGE: Final = "lifecycle"
_URGENT: Final = Severity.CRITICAL.value
OnUrgent = Callable[[int, Sequence[AlertEvent]], None]
_log = structlog.get_logger("tocsin.lifecycle")


class Lifecycle:
    """Lifecycle of one worker: all partitions of `signals` and `commands` that Faust assigned to it."""

    def __init__(
        self,
        app: BatchApp,
        table: RunTable,
        topics: Topics,
        book: RuleBook,
        on_urgent: OnUrgent = lambda *_: None,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._on_urgent, self._on_finished = on_urgent, on_finished
        self._table = table
        self._topics = topics
        self._book = book
        self._alarms: dict[int, Wakes] = {}
        self.events = 0

    def forget(self) -> None:
        """At a rebalance: another worker may have gone on with our partitions."""
        self._alarms.clear()

    def wants_tick(self, partition: int) -> bool:
        """Whether time matters in a partition; it may, until its records were looked at."""
        return bool(self._alarms.get(partition, True))

    def worked_off(self, partition: int) -> int:
        """The offset of `signals` before which all is on `alert-state`."""
        tp = TP(self._topics.signals, partition)
        return max(self._app.committable.offsets.get(tp, 0), self._app.reader.committed(tp))

    async def take(self, tp: TP, batches: Sequence[RecordBatch], rules: ConfigLog) -> None:
        """Apply one fetched run of signals or of commands."""
        read = _signal if tp.topic == self._topics.signals else _command
        generation = self._app.reader.group_generation
        holds = partial(self._app.reader.still_holds, tp, generation)
        async with self._table.turn(tp.partition):
            if not await holds() or not await self._table.recover(tp.partition, generation, holds):
                return  # whoever holds it now takes the same inputs
            alarms = self._alarms_of(tp.partition)
            for run in keyed_runs(tp, batches, read, self._topics.dlq, _STAGE):
                wanted = max((one.revision for one in run.inputs if isinstance(one, Signal)), default=-1)
                if wanted >= rules.position:
                    await rules.reach(wanted + 1)
                apply = partial(self._apply, alarms, partial(self._table.get, tp.partition))
                if not await settled(run, apply, partial(self._finish, alarms), self._topics.dlq, _STAGE):
                    return

    def _alarms_of(self, partition: int) -> Wakes:
        """Asked for when a reign is known to hold: later in a run the entries may be older ones."""
        if partition not in self._alarms:
            self._alarms[partition] = alarms_of(self._table, partition, _log.error)
        return self._alarms[partition]

    async def _finish(self, alarms: Wakes, run: KeyedRun[Input], outcome: Outcome) -> bool:
        self.events += sum(output.topic == self._topics.alerts for output in outcome.outputs)
        outputs = [*outcome.outputs, *run.dead]
        if not await self._table.finish(run.tp.partition, run.name, outcome.entries, outputs):
            return False
        alarms.update(outcome.wakes)
        self._app.committable.offsets[run.tp] = run.last + 1
        self._on_finished()
        if outcome.urgent:
            self._on_urgent(run.tp.partition, outcome.urgent)
        return True

    def _apply(self, alarms: Wakes, get: Get, inputs: Sequence[Input]) -> Outcome:
        changes = step(inputs, lambda fingerprint: _record(get(fingerprint)), self._book.rule_at, alarms.due)
        for name, reason in changes.failed.items():
            _log.error("a timer of an alert cannot be applied; it waits", fingerprint=name, error=reason)
        values = {event.id: codec.encode(event) for event in changes.events}
        events = [self._event(event, values[event.id]) for event in changes.events]
        states = [self._state(name, event, values) for name, event in changes.states()]
        shadows = [self._shadow(event) for event in changes.shadows]
        entries = {name: None if record.is_spent else encode(record) for name, record in changes.records.items()}
        wakes = {name: record.wake_ms for name, record in changes.records.items()}
        urgent = [
            event for event in changes.events if event.severity == _URGENT and event.type in ("firing", "changed")
        ]
        return Outcome(entries, [*events, *states, *shadows], wakes, urgent)

    def forgotten(self, names: Sequence[str]) -> list[Output]:
        """What is said of alerts of which nothing is kept any more."""
        return [self._state(name, None, {}) for name in names if not is_shadow(name)]

    def _event(self, event: AlertEvent, value: bytes) -> Output:
        headers: list[Header] = [*event.cloud_event_headers()]
        return Output(self._topics.alerts, event.fingerprint.encode(), value, headers)

    def _shadow(self, event: AlertEvent) -> Output:
        return Output(self._topics.shadow_alerts, event.fingerprint.encode(), codec.encode(event))

    def _state(self, fingerprint: str, event: AlertEvent | None, values: Mapping[str, bytes]) -> Output:
        value = (values.get(event.id) or codec.encode(event)) if event else None
        return Output(self._topics.alert_state, fingerprint.encode(), value)


def _record(value: bytes | None) -> AlertRecord | None:
    try:
        return decode(value) if value else None
    except DamagedRecord as error:
        _log.error("an alert's record is damaged; the alert begins anew", error=str(error))
        return None


def _signal(record: Any) -> Input:
    return msgspec.structs.replace(codec.decode(Signal, record.value), written_ms=max(record.timestamp, 0))


def _command(record: Any) -> Input:
    if record.key is None:  # commands have one
        return codec.decode(RouteTick, record.value)
    return NumberedCommand(record.offset, codec.decode(Command, record.value))
