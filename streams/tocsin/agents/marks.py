"""What an evaluate worker says on `marks`: how far its partitions are, once all that they have said is on Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tocsin.agents.outbox import Outbox, Sent
from tocsin.engine.standing import Standing
from tocsin.schemas.codec import encode
from tocsin.schemas.topics import Topics

_CALL_TIMEOUT_S: Final = 30.0
_log = structlog.get_logger("tocsin.evaluate")


@dataclass(frozen=True, slots=True)
class Said:
    """How far a partition is, and what it has sent up to there and may not be on Kafka yet; `key` is its name."""

    key: bytes
    standing: Standing
    sent: Sequence[Sent]


class MarkWriter:
    """Marks of one worker."""

    def __init__(self, client: Mapping[str, Any], outbox: Outbox, topics: Topics, partitions: int) -> None:
        self._asker = AIOKafkaConsumer(**client, enable_auto_commit=False)
        self._outbox, self._topic = outbox, topics.marks
        self._signals = [TopicPartition(topics.signals, partition) for partition in range(partitions)]
        self._last: dict[bytes, Standing] = {}

    async def start(self) -> None:
        """Connect."""
        await asyncio.wait_for(self._asker.start(), _CALL_TIMEOUT_S)

    async def stop(self) -> None:
        """Disconnect."""
        await self._asker.stop()

    async def write(self, said: Sequence[Said]) -> None:
        """Say how far partitions are that have moved. Where Kafka does not answer how far the log is, a later mark says
        more: samples go on without."""
        moved = [one for one in said if self._last.get(one.key) != one.standing]
        if not moved:
            return
        await self._outbox.acknowledged(sent for one in moved for sent in one.sent)
        try:
            ends = await self._ends()
        except (KafkaError, TimeoutError) as error:
            _log.warning(
                "alerts that others may inhibit wait longer: no marks", error=f"{type(error).__name__}: {error}"
            )
            return
        sent = []
        for one in moved:
            self._last[one.key] = one.standing
            sent.append(await self._outbox.send(self._topic, encode(one.standing.mark(ends)), one.key, 0))
        await self._outbox.acknowledged(sent)

    async def _ends(self) -> tuple[int, ...]:
        """Asked for behind what is acknowledged, so that it lies before them."""
        found: dict[TopicPartition, int] = await asyncio.wait_for(
            self._asker.end_offsets(self._signals), _CALL_TIMEOUT_S
        )
        return tuple(found[partition] for partition in self._signals)
