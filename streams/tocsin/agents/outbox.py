"""What agents send: one idempotent producer, in order per partition, every record acknowledged or the worker stops."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tocsin.agents.clock import clock_ms
from tocsin.agents.partitioning import partitions_of
from tocsin.engine.run_table import Output
from tocsin.schemas.dead_letter import Header

_SEND_TIMEOUT_S: Final = 120.0
_LARGEST_RECORD: Final = 8 * 2**20
_BATCH_BYTES: Final = 2**20

_MANY: Final = 16  # as many records are worth batches of their own; fewer join what is on its way already

Sent = asyncio.Future[Any]
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Records of one partition that go together; `sent` is done when Kafka has them, and tells the first's offset."""

    sent: Sent
    count: int


class Outbox:
    """A producer that starts with its worker. Sending returns a future that is done when Kafka has the record."""

    def __init__(self, client: dict[str, Any]) -> None:
        self._producer = AIOKafkaProducer(
            **client,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_request_size=_LARGEST_RECORD,
            max_batch_size=_BATCH_BYTES,
        )

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is waiting, and disconnect."""
        await self._producer.stop()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[Header] | None = None,
    ) -> Sent:
        """Queue one record."""
        # Not `wait_for`, which makes a task of each: that is most of what a storm of signals costs.
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            sent: Sent = await self._producer.send(topic, value, key=key, partition=partition, headers=headers)
        return sent

    async def post(self, outputs: Sequence[Output]) -> list[Parcel]:
        """Queue records, in order for each partition: many go as whole batches, at a tenth of what `send` costs."""
        if len(outputs) < _MANY:
            return [
                Parcel(await self.send(one.topic, one.value, one.key, one.partition, one.headers), 1) for one in outputs
            ]
        parcels = []
        for topic, partition, batch in _in_rounds(await self._batches(outputs)):
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                sent: Sent = await self._producer.send_batch(batch, topic, partition=partition)
            parcels.append(Parcel(sent, batch.record_count()))
        return parcels

    async def _batches(self, outputs: Sequence[Output]) -> dict[_Place, list[BatchBuilder]]:
        now_ms, filled = clock_ms(), dict[_Place, list[BatchBuilder]]()
        for place, one in zip(await self._places(outputs), outputs, strict=True):
            batches = filled.setdefault(place, [])
            record = {"timestamp": now_ms, "key": one.key, "value": one.value, "headers": one.headers}
            if batches and batches[-1].append(**record) is not None:
                continue
            batches.append(self._producer.create_batch())
            if batches[-1].append(**record) is None:
                raise ValueError(f"a record for {one.topic} is too large to be sent")
        return filled

    async def _places(self, outputs: Sequence[Output]) -> list[_Place]:
        """To which partition each record goes: the one that it names, the one of its key, or any."""
        found = [(one.topic, one.partition or 0) for one in outputs]
        undecided: dict[str, list[int]] = defaultdict(list)
        for index, one in enumerate(outputs):
            if one.partition is None:
                undecided[one.topic].append(index)
        for topic, indexes in undecided.items():
            count = await self.partitions(topic)
            anywhere = random.randrange(count)
            keys = [outputs[index].key for index in indexes]
            keyed = iter(partitions_of([key for key in keys if key is not None], count))
            for index, key in zip(indexes, keys, strict=True):
                found[index] = topic, anywhere if key is None else next(keyed)
        return found

    async def acknowledged(self, sent: Iterable[Sent]) -> list[Any]:
        """Wait until all are on Kafka; raises what went wrong, and then nothing may be committed."""
        every = list(sent)
        waiting = [one for one in every if not one.done()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=_SEND_TIMEOUT_S)
            if late:
                raise TimeoutError
        failed = [error for one in every if (error := one.exception()) is not None]
        if failed:
            raise failed[0]
        return [one.result() for one in every]

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        found = await asyncio.wait_for(self._producer.partitions_for(topic), _SEND_TIMEOUT_S)
        return len(found)


def _in_rounds(filled: Mapping[_Place, Sequence[BatchBuilder]]) -> Iterator[tuple[str, int, BatchBuilder]]:
    """Of each partition the first batch, then of each the second: a partition takes one at a time."""
    rounds = zip_longest(*([(*place, batch) for batch in batches] for place, batches in filled.items()))
    return (one for one in chain.from_iterable(rounds) if one is not None)
