"""What a route worker knows beside its alerts: channels, routes, silences, who is on call, and which alerts are active.

Every worker reads these topics whole, and to their end before it tells anybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from tocsin.agents.config_log import ConfigLog
from tocsin.engine.escalate.directory import Directory
from tocsin.engine.route.board import Board, labels_on_board
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.tree import Tree
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.route import ROUTING_ID, Routing
from tocsin.schemas.silence import Silence

_log = structlog.get_logger("tocsin.route")
_Document = TypeVar("_Document", Channel, Routing, Silence)


class Unreadable(ValueError):
    """An entry that leaves the last good one in force."""


class RoutingState:
    """The latest of all of it. `version` grows with each change of the routes."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.muting = Muting()
        self.directory = Directory()
        self.version = 0
        self._states = Board()
        self._logs: Sequence[ConfigLog] = ()
        self._board: Callable[[], Awaitable[ConfigLog]] | None = None

    def follow(self, logs: Sequence[ConfigLog], board: Callable[[], Awaitable[ConfigLog]]) -> None:
        """Where it comes from; `board` gives the log of active alerts, which is read only while they may inhibit."""
        self._logs, self._board = logs, board

    async def catch_up(self) -> None:
        """Wait until everything that is on the topics now was read; raises TimeoutError."""
        await asyncio.gather(*(log.catch_up() for log in self._logs))
        if self._board is not None and not self.muting.inhibitor.is_idle:
            await (await self._board()).catch_up()

    def read_channel(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `channels`."""
        try:
            channel = _read(Channel, key, value)
        except Unreadable:
            return
        if channel is None:
            self.channels.pop(_text(key), None)
        else:
            self.channels[channel.id] = channel

    def read_routing(self, offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `routes`."""
        if _text(key) != ROUTING_ID:
            return
        try:
            routing = _read(Routing, key, value)
        except Unreadable:
            return
        self.muting.put_tree(Tree(routing, offset) if routing else None)
        self.version += 1

    def read_silence(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `silences`."""
        try:
            self.muting.silences.put(_text(key), _read(Silence, key, value))
        except Unreadable:
            return

    def read_escalation(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `escalations`."""
        try:
            found = codec.decode_escalation(value, _text(key)) if value else None
        except codec.UnreadableRecord as error:
            _ignored("escalation", key, error)
            return
        self.directory.put(_text(key), found)

    def read_active(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `alert-state`."""
        try:
            event = codec.decode(AlertEvent, value) if value else None
        except codec.UnreadableRecord as error:
            _log.warning("the state of an alert that cannot be read was ignored", key=_text(key), reason=str(error))
            return
        if self._states.is_news(_text(key), event):
            self.muting.inhibitor.put(_text(key), labels_on_board(event))


def _text(key: bytes) -> str:
    return key.decode(errors="replace")


def _read(kind: type[_Document], key: bytes, value: bytes | None) -> _Document | None:
    if not value:
        return None
    try:
        return codec.decode_document(kind, value, _text(key))
    except codec.UnreadableRecord as error:
        _ignored(kind.__name__.lower(), key, error)
        raise Unreadable from None


def _ignored(what: str, key: bytes, error: codec.UnreadableRecord) -> None:
    _log.warning("configuration that cannot be read was ignored", what=what, key=_text(key), reason=str(error))
