"""The route agent: alert events in, notifications for each channel type and inputs of groups out.

May block: on Kafka's acknowledgements, run by run, and on configuration topics, which are read to their end before
anybody is told. Revocation: as lifecycle's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog
from faust.types import TP

from tocsin.agents.clock import clock_ms
from tocsin.agents.keyed import Apply, KeyedRun, Outcome, checked, keyed_runs, settled
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.routing import RoutingState
from tocsin.agents.run_table import Output, RunTable
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.copies import Get
from tocsin.engine.route.groups import GroupChanges
from tocsin.engine.route.runs import Done, Partition, Timed, TimedInput, tells
from tocsin.engine.route.step import Changes
from tocsin.engine.route.store import Index
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.grouping import Join
from tocsin.schemas.notification import Delivery
from tocsin.schemas.topics import Topics

_STAGE: Final = "route"
_MANY: Final = 100
_MOST_EARLY: Final = 5_000  # events that wait to be routed before their turn, some KiB each
_log = structlog.get_logger("tocsin.route")


MakeWay = Callable[[float], Awaitable[None]]
"""Is told since when a run is here, by the clock of the loop."""


async def _nobody(_: float) -> None:
    """There is nobody to make way for."""


class Route:
    """Route of one worker: all partitions of `alerts` and `groups` that Faust assigned to it.

    Before a run of very many it lets others go first, with `make_way`.
    """

    def __init__(
        self, app: BatchApp, table: RunTable, topics: Topics, state: RoutingState, make_way: MakeWay = _nobody
    ) -> None:
        self._app = app
        self._make_way = make_way
        self._order: defaultdict[TP, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._table = table
        self._topics = topics
        self._state = state
        self._indexes: dict[int, Index] = {}
        self._asked_ms: dict[int, int] = {}
        self._early = 0
        self.notifications = 0

    def forget(self) -> None:
        """At a rebalance: another worker may have gone on with our partitions."""
        self._indexes.clear()
        self._asked_ms.clear()

    def wants_tick(self, partition: int) -> bool:
        """Whether time matters in a partition; it may, until its entries were looked at."""
        index = self._indexes.get(partition)
        return index is None or index.is_waiting(self._state.version)

    def newly_reached(self, partition: int) -> bool:
        """Whether something in a partition waited for the watermark of all marks, and this was not asked at that
        before: what waits on, since it cannot be looked at, is for ordinary ticks."""
        index, watermark_ms = self._indexes.get(partition), self._state.marks.reached.watermark_ms
        if index is None or watermark_ms <= self._asked_ms.get(partition, watermark_ms - 1):
            return False
        self._asked_ms[partition] = watermark_ms
        return index.has_reached(watermark_ms)

    def forgot(self, partition: int, names: Sequence[str]) -> None:
        """There is nothing more of these alerts in the table."""
        if index := self._indexes.get(partition):
            index.put(dict.fromkeys(names))

    async def take(self, tp: TP, batches: Sequence[RecordBatch]) -> None:
        """Apply one fetched run of alert events, or of inputs of groups."""
        generation, came_s = self._app.reader.group_generation, asyncio.get_running_loop().time()
        async with self._order[tp]:  # what makes way is not overtaken by the next run of its partition
            if batches[-1].offset - batches[0].first >= _MANY:
                await self._make_way(came_s)
            await self._take_in_turn(tp, batches, generation)

    async def _take_in_turn(self, tp: TP, batches: Sequence[RecordBatch], generation: int) -> None:
        holds = partial(self._app.reader.still_holds, tp, generation)
        async with self._table.turn(tp.partition):
            if not await holds() or not await self._table.recover(tp.partition, generation, holds):
                return  # whoever holds it now takes the same inputs
            index = self._index(tp.partition)
            is_of_groups = tp.topic == self._topics.groups
            read: Callable[[Any], Any] = _group_input if is_of_groups else _event
            partition = Partition(tp.partition, self._state, index, _log.error)
            get = partial(self._table.get, tp.partition)
            apply: Apply[Any] = partial(self._apply, partition.groups if is_of_groups else partition.alerts, get)
            finish = partial(self._finish, index)
            for run in keyed_runs(tp, batches, read, self._topics.dlq, _STAGE):
                if tells(run.inputs, index, self._state.reached_ms):
                    await self._state.catch_up()
                if is_of_groups:
                    index.follow(self._state.version)
                if not await settled(run, apply, finish, self._topics.dlq, _STAGE, index.kept.drop):
                    self._indexes.pop(tp.partition, None)  # it is ahead of what is written
                    return
                if is_of_groups:
                    index.looked()

    async def take_early(self, number: int, events: Sequence[AlertEvent]) -> None:
        """Route events before what lies before them on `alerts`; when they are read there, they are known.

        Only where it comes to the same: when everything that was said of the alert before is known already. Those
        beyond what memory is meant for are left to their turn.
        """
        if self._early + len(events) > _MOST_EARLY:
            return
        self._early += len(events)
        try:
            await self._take_early(number, events)
        finally:
            self._early -= len(events)

    async def _take_early(self, number: int, events: Sequence[AlertEvent]) -> None:
        tp, generation = TP(self._topics.alerts, number), self._app.reader.group_generation
        holds = partial(self._app.reader.still_holds, tp, generation)
        async with self._table.turn(number):
            if not await holds() or not await self._table.recover(number, generation, holds):
                return
            index, get = self._index(number), partial(self._table.get, number)
            partition = Partition(number, self._state, index, _log.error)
            inputs = [(clock_ms(), event) for event in partition.next_ones(events, get)]
            if not inputs:
                return
            await self._state.catch_up()
            try:
                outcome = checked(self._apply(partition.alerts, get, inputs))
            except Exception as error:  # noqa: BLE001 - when their turn comes, what fails becomes a dead letter
                _log.warning("urgent alerts were left to their turn", error=f"{type(error).__name__}: {error}")
                return
            await self._written(index, number, f"{tp.topic}/{number}/{events[0].id}", outcome, [])

    def _index(self, partition: int) -> Index:
        """Asked for when a reign is known to hold: later in a run the entries may be older ones."""
        if partition not in self._indexes:
            self._indexes[partition] = Index.of(self._table, partition, _log.error)
        return self._indexes[partition]

    async def _finish(self, index: Index, run: KeyedRun[Any], outcome: Outcome) -> bool:
        if not await self._written(index, run.tp.partition, run.name, outcome, run.dead):
            return False
        self._app.committable.offsets[run.tp] = run.last + 1
        return True

    async def _written(self, index: Index, partition: int, name: str, outcome: Outcome, dead: Sequence[Output]) -> bool:
        topics = self._topics
        told = (topics.deliveries, topics.groups, topics.decisions, topics.commands, topics.incidents)
        self.notifications += sum(output.topic not in told for output in outcome.outputs)
        if not await self._table.finish(partition, name, outcome.entries, [*outcome.outputs, *dead]):
            return False
        index.put(outcome.entries)
        return True

    def _apply(self, apply: Callable[[Sequence[Any], Get], Done], get: Get, inputs: Sequence[Any]) -> Outcome:
        done = apply(inputs, get)
        return Outcome(done.entries, [output for changes in done.changes for output in self._outputs(changes)])

    def _outputs(self, changes: Changes | GroupChanges) -> list[Output]:
        topics = self._topics
        for one in changes.unroutable:
            _log.warning("nobody was told", rule=one.rule_id, name=one.channel_id, reason=one.detail)
        found = [
            Output(topics.notifications(one.channel_type), one.group_key.encode(), codec.encode(one))
            for one in changes.notifications
        ]
        found += [self._delivery(one) for one in changes.unroutable]
        if isinstance(changes, Changes):
            found += [Output(topics.groups, one.group_key.encode(), codec.encode(one)) for one in changes.joins]
            found += [Output(topics.commands, one.fingerprint.encode(), codec.encode(one)) for one in changes.commands]
        if isinstance(changes, GroupChanges):
            found += [Output(topics.incidents, one.id.encode(), codec.encode(one)) for one in changes.incidents]
        found += [Output(topics.decisions, one.fingerprint.encode(), codec.encode(one)) for one in changes.decisions]
        return found

    def _delivery(self, one: Delivery) -> Output:
        return Output(self._topics.deliveries, one.notification_id.encode(), codec.encode(one))


def _event(record: Any) -> Timed:
    return record.timestamp, codec.decode(AlertEvent, record.value)


def _group_input(record: Any) -> TimedInput:
    item = codec.decode_group_input(record.value)
    return (record.timestamp if isinstance(item, Join) else item.at_ms), item
