"""Records of alerts that were over long ago are removed: else labels that come and go would cost something for ever.

May block: on Kafka's acknowledgements, some records at a time, and until what changed them last is committed, so that
no input that is in a record comes again when it is gone.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from faust.types import TP

from tocsin.agents.run_table import Output, RunTable
from tocsin.agents.transport import BatchApp
from tocsin.schemas.topics import ALERTS_KEPT_MS

_CHUNK: Final = 200
_MOST: Final = 20_000  # of a partition at once; the others later
_REST_S: Final = 0.01  # between chunks: others use the loop, too
_POLL_S: Final = 1.0
IsOver = Callable[[str, bytes, int], bool]
"""By key and value, whether a record is of no use, where nothing was heard of it since a time."""
_log = structlog.get_logger("tocsin.forgetting")


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The records of one table, which inputs from some topics change. `say` gives what is to be said of those that go,
    and `gone` hears that they went."""

    app: BatchApp
    table: RunTable
    topics: Sequence[str]
    is_over: IsOver
    say: Callable[[Sequence[str]], Sequence[Output]] = lambda _: ()
    gone: Callable[[int, Sequence[str]], None] = lambda *_: None

    async def sweep(self, partition: int, now_ms: int) -> int:
        """Look at all records of a partition; how many were removed. While no input was taken here, none is: the table
        may still be read back, and a journal in it be one that was carried out long ago."""
        if not self.table.reigns(partition):
            return 0
        generation = self.app.reader.group_generation
        holds = partial(self.app.reader.still_holds, TP(self.topics[0], partition), generation)
        found = await self._over(partition, now_ms - ALERTS_KEPT_MS)
        count = 0
        if not found or not await self._is_committed(partition, generation):
            return count
        for number, names in enumerate(_chunks(list(found))):
            async with self.table.turn(partition):
                if not await holds() or not self.table.reigns(partition):
                    return count
                same = [name for name in names if hash(self.table.get(partition, name)) == found[name]]
                run = f"{self.topics[0]}/{partition}: forgotten at {now_ms}, {number}"
                removed = dict.fromkeys(same)
                if not await self.table.finish(partition, run, removed, self.say(same), are_marked=False):
                    return count
                self.gone(partition, same)
            count += len(same)
            await asyncio.sleep(_REST_S)
        _log.info("alerts of long ago were forgotten", topic=self.topics[0], partition=partition, count=count)
        return count

    async def _over(self, partition: int, since_ms: int) -> dict[str, int]:
        """The names of records that may go, and what they are now."""
        found: dict[str, int] = {}
        for names in _chunks(self.table.keys(partition)):
            for name in names:
                value = self.table.get(partition, name)
                if value and self.is_over(name, value, since_ms):
                    found[name] = hash(value)
            if len(found) >= _MOST:
                break
            await asyncio.sleep(_REST_S)
        return found

    async def _is_committed(self, partition: int, generation: int) -> bool:
        """Wait until what was taken by now is committed; False if the partitions went away before that."""
        reader, offsets = self.app.reader, self.app.committable.offsets
        taken = {tp: offsets.get(tp, 0) for tp in (TP(topic, partition) for topic in self.topics)}
        while any(reader.committed(tp) < offset for tp, offset in taken.items()):
            await asyncio.sleep(_POLL_S)
            if reader.group_generation != generation:
                return False
        return True


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[begin : begin + _CHUNK] for begin in range(0, len(names), _CHUNK))
