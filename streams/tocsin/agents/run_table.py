"""The engine's table of runs on a Faust table and a producer."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from tocsin.agents.outbox import Outbox
from tocsin.agents.pieces import PieceTable
from tocsin.engine import run_table
from tocsin.engine.run_table import Acknowledged, Output

__all__ = ["Output", "RunTable"]
_log = structlog.get_logger("tocsin.tables")


class EarlierRunFailed(RuntimeError):
    """A run is not taken, since the worker is about to end because of the one before it."""


class RunTable(run_table.RunTable):
    """Entries of one Faust table by key, changed run by run, each in its partition's `turn`."""

    def __init__(self, outbox: Outbox, table: Any) -> None:
        super().__init__(PieceTable(outbox, table), self._say, _log.error)
        self._outbox, self._table = outbox, table
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._failed: set[int] = set()

    @asynccontextmanager
    async def turn(self, partition: int) -> AsyncIterator[None]:
        """Runs of a partition come from several topics, and are taken one at a time, in the order in which they asked.

        None is taken after one that failed, whose offsets would be committed with its own: raises EarlierRunFailed.
        """
        async with self._locks[partition]:
            if partition in self._failed:
                raise EarlierRunFailed
            try:
                yield
            except BaseException:
                self._failed.add(partition)
                raise

    def forget(self) -> None:
        """At a rebalance: everything is read anew from what is committed."""
        super().forget()
        self._failed.clear()

    async def _say(self, outputs: Sequence[Output]) -> Acknowledged:
        parcels = await self._outbox.post(outputs)

        async def acknowledged() -> None:
            await self._outbox.acknowledged(parcel.sent for parcel in parcels)

        return acknowledged
