"""The engine's table of runs on a Faust table and a producer."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import structlog

from tocsin.agents.outbox import Outbox
from tocsin.agents.pieces import PieceTable
from tocsin.engine import run_table
from tocsin.engine.run_table import Output

__all__ = ["Output", "RunTable"]
_log = structlog.get_logger("tocsin.tables")


class RunTable(run_table.RunTable):
    """Entries of one Faust table by key, changed run by run. Runs of one partition must be under its `lock`."""

    def __init__(self, outbox: Outbox, table: Any) -> None:
        super().__init__(PieceTable(outbox, table), self._say, _log.error)
        self._outbox, self._table = outbox, table
        self._locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, partition: int) -> asyncio.Lock:
        """Runs of a partition come from several topics, one at a time."""
        return self._locks[partition]

    async def _say(self, outputs: Sequence[Output]) -> None:
        parcels = await self._outbox.post(outputs)
        await self._outbox.acknowledged(parcel.sent for parcel in parcels)
