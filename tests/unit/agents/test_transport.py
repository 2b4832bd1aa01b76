"""The consumer: nothing that was dropped at a rebalance stays unread, and a paused worker learns its fate."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.errors import ConsumerStoppedError, IllegalStateError
from faust.types import TP

from tocsin.agents.transport import BatchConsumer, Committable

FRESH, READ, CHANGELOG = TP("metrics", 0), TP("metrics", 1), TP("changelog", 0)


class Thread:
    """The consumer's thread: what it was told to seek, and a group that counts us as of generation 1."""

    def __init__(self) -> None:
        self.sought: list[dict[TP, int]] = []
        self.group_generation = 1
        self.heard_s = float("-inf")
        self.asked = 0

    async def seek_to_committed(self) -> dict[TP, int | None]:
        return {FRESH: None, READ: 7, CHANGELOG: None}

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, 3)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.sought.append(offsets)

    async def position(self, tp: TP) -> int:
        """As aiokafka's, which the thread may have told meanwhile that a partition is gone."""
        if tp != FRESH:
            raise IllegalStateError(tp)
        return 5

    def highwater(self, tp: TP) -> int:
        assert tp == FRESH, "Partition is not assigned"
        return 6

    def assignment(self) -> set[TP]:
        return {FRESH}

    async def call_thread(self, work: Any) -> bool:
        return bool(await work())

    async def ask_group(self) -> bool:
        """The group answers at the second time only, and then that it does not know us."""
        self.asked += 1
        if self.asked > 1:
            self.group_generation = -1
        return False


def consumer(thread: Thread) -> BatchConsumer:
    made = BatchConsumer.__new__(BatchConsumer)
    parts: dict[str, Any] = {
        "_thread": thread,
        "app": SimpleNamespace(
            batched_topics=frozenset({"metrics"}), conf=SimpleNamespace(broker_heartbeat_interval=1.0)
        ),
    }
    for name, part in parts.items():
        setattr(made, name, part)
    return made


async def test_a_partition_that_was_just_taken_away_has_no_position() -> None:
    """A worker that asks within a rebalance must not end with it."""
    made = consumer(Thread())
    assert (await made.position(FRESH), made.highwater(FRESH)) == (5, 6)
    assert (await made.position(READ), made.highwater(READ)) == (None, None)


async def test_a_partition_without_an_offset_is_read_again_from_its_beginning() -> None:
    """Its first messages may have been fetched and dropped while a rebalance was under way."""
    thread = Thread()
    await consumer(thread).seek_to_committed()
    assert thread.sought == [{FRESH: 3}]


class Partition(BatchConsumer):
    """A consumer of one partition whose records are numbers; a fetch takes two, from its position on."""

    should_stop = False
    _thread: Any = None

    def __init__(self, app: Any) -> None:
        self._buffered_partitions = set()
        self.app, self.flow_active, self.position_now, self.sought = app, True, 0, 0

    async def _wait_next_records(self, _timeout: float) -> Any:
        first, self.position_now = self.position_now, self.position_now + 2
        return {FRESH: [first, first + 1]}, None

    async def perform_seek(self) -> None:
        self.position_now = 0
        self.sought += 1

    def highwater(self, _: TP) -> int:
        return 0

    def _to_message(self, _: TP, record: int) -> Any:
        return SimpleNamespace(offset=record, value=None)


async def test_what_is_fetched_before_a_rebalance_has_ended_is_fetched_again() -> None:
    app = SimpleNamespace(
        batched_topics=frozenset({"metrics"}),
        committable=Committable(),
        rebalancing=True,
        consumer_generation_id=1,
        monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None),
    )
    reading = Partition(app)

    async def fetched() -> list[Any]:
        return [message.value async for _, message in reading.getmany(1.0)]

    assert await fetched() == await fetched() == []
    app.rebalancing = False
    assert await fetched() == [[0, 1]]
    assert await fetched() == [[2, 3]]
    assert reading.sought == 1


async def test_a_paused_worker_asks_until_the_group_answers() -> None:
    thread = Thread()
    assert not await consumer(thread).still_holds(FRESH, 1)
    assert thread.asked == 2


class Ended(Thread):
    """A thread that is over."""

    async def call_thread(self, work: Any) -> bool:
        raise ConsumerStoppedError

    async def position(self, tp: TP) -> int:
        raise ConsumerStoppedError

    async def commit(self, offsets: Any) -> bool:
        raise ConsumerStoppedError


async def test_once_its_thread_has_ended_a_consumer_knows_commits_and_holds_nothing() -> None:
    made = consumer(Ended())
    assert await made.position(FRESH) is None
    assert await made._commit({FRESH: 5}) is False
    assert await made.still_holds(FRESH, 1) is False


async def test_a_partition_of_another_generation_or_another_worker_is_not_held() -> None:
    thread = Thread()
    thread.heard_s = float("inf")
    assert await consumer(thread).still_holds(FRESH, 1)
    assert not await consumer(thread).still_holds(FRESH, 0)
    assert not await consumer(thread).still_holds(READ, 1)
    thread.group_generation = -1
    assert not await consumer(thread).still_holds(FRESH, -1)
