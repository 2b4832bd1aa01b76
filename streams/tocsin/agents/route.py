"""The route agent: alert events in, notifications for each channel type out.

May block: on Kafka's acknowledgements, run by run, and on the channels topic, which is read to its end before anybody
is told. Revocation: as lifecycle's.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import structlog
from faust.types import TP

from tocsin.agents.config_log import ConfigLog
from tocsin.agents.keyed import KeyedRun, Outcome, applied, keyed_runs
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.run_table import Output, RunTable
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.route.record import DamagedRecord, RouteRecord, decode, encode
from tocsin.engine.route.step import step
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.notification import Delivery, Notification
from tocsin.schemas.topics import CHANNEL_TYPES, Topics

_STAGE: Final = "route"
_log = structlog.get_logger("tocsin.route")


class Route:
    """Route of one worker: all partitions of `alerts` that Faust assigned to it."""

    def __init__(self, app: BatchApp, table: RunTable, topics: Topics) -> None:
        self._app = app
        self._table = table
        self._topics = topics
        self.channels: dict[str, Channel] = {}
        self.notifications = 0

    def read_channel(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of the channels topic; an entry that cannot be read leaves the last good one in force."""
        channel_id = key.decode(errors="replace")
        if not value:
            self.channels.pop(channel_id, None)
            return
        try:
            self.channels[channel_id] = codec.decode_document(Channel, value, channel_id)
        except codec.UnreadableRecord as error:
            _log.warning("a channel that cannot be read was ignored", channel_id=channel_id, reason=str(error))

    async def take(self, tp: TP, batches: Sequence[RecordBatch], channels: ConfigLog) -> None:
        """Apply one fetched run of alert events."""
        generation = self._app.reader.group_generation
        holds = partial(self._app.reader.still_holds, tp, generation)
        async with self._table.lock(tp.partition):
            if not await holds() or not await self._table.recover(tp.partition, generation, holds):
                return  # whoever holds it now takes the same inputs
            for run in keyed_runs(tp, batches, _event, self._topics.dlq, _STAGE):
                if any(event.type == "firing" for event in run.inputs):
                    await channels.catch_up()
                if not await self._finish(run):
                    return
                self._app.committable.offsets[tp] = run.last + 1

    async def _finish(self, run: KeyedRun[AlertEvent]) -> bool:
        partition = run.tp.partition
        get = partial(self._table.get, partition)
        outcome = applied(run, self._apply, get, self._topics.dlq, _STAGE)
        self.notifications += sum(output.topic != self._topics.deliveries for output in outcome.outputs)
        return await self._table.finish(partition, run.name, outcome.entries, [*outcome.outputs, *run.dead])

    def _apply(self, events: Sequence[AlertEvent], get: Get) -> Outcome:
        changes = step(events, lambda fingerprint: _record(get(fingerprint)), self.channels, CHANNEL_TYPES)
        for missing in changes.unroutable:
            _log.warning("nobody was told", rule=missing.rule_id, name=missing.channel_id, reason=missing.detail)
        entries = {fingerprint: encode(record) for fingerprint, record in changes.records.items()}
        told = [self._notification(one) for one in changes.notifications]
        missed = [self._delivery(one) for one in changes.unroutable]
        return Outcome(entries, [*told, *missed])

    def _notification(self, one: Notification) -> Output:
        return Output(self._topics.notifications(one.channel_type), one.group_key.encode(), codec.encode(one))

    def _delivery(self, one: Delivery) -> Output:
        return Output(self._topics.deliveries, one.notification_id.encode(), codec.encode(one))


def _record(value: bytes | None) -> RouteRecord | None:
    try:
        return decode(value) if value else None
    except DamagedRecord as error:
        _log.error("what was told of an alert is damaged; it begins anew", error=str(error))
        return None


def _event(record: Any) -> AlertEvent:
    return codec.decode(AlertEvent, record.value)
