"""What a route worker knows, and where from. Every worker reads these topics whole, and to their end before it tells
anybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from tocsin.agents.config_log import ConfigLog
from tocsin.engine.route.known import Known

_log = structlog.get_logger("tocsin.route")


class RoutingState(Known):
    """The latest of all of it."""

    def __init__(self, partitions: int) -> None:
        super().__init__(_ignored, partitions)
        self._logs: Sequence[ConfigLog] = ()
        self._board_log: Callable[[], Awaitable[ConfigLog]] | None = None

    def follow(self, logs: Sequence[ConfigLog], board: Callable[[], Awaitable[ConfigLog]]) -> None:
        """Where it comes from; `board` gives the log of active alerts, which is read only while they may inhibit, with
        marks beside it."""
        self._logs, self._board_log = logs, board

    async def catch_up(self) -> None:
        """Wait until everything that is on the topics now was read; raises TimeoutError."""
        await asyncio.gather(*(log.catch_up() for log in self._logs))
        if self._board_log is not None and not self.muting.inhibitor.is_idle:
            board, reached = await self._board_log(), self.marks.reached
            await board.catch_up()
            self.up_to(reached)


def _ignored(what: str, key: str, reason: str) -> None:
    _log.warning("a record that cannot be read was ignored", what=what, key=key, reason=reason)
