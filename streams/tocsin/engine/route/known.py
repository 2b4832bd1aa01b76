"""What route knows beside its alerts: channels, routes, silences, who is on call, which alerts are active, and how far
the stages before it are."""

from collections.abc import Callable
from typing import TypeVar

from tocsin.engine.escalate.directory import Directory
from tocsin.engine.route.board import Board, labels_on_board
from tocsin.engine.route.marks import Marks, Reached
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.tree import Tree
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.route import ROUTING_ID, Routing
from tocsin.schemas.silence import Silence

Ignored = Callable[[str, str, str], None]
"""What kind of record could not be read, its key, and why not."""
_Document = TypeVar("_Document", Channel, Routing, Silence)


class Unreadable(ValueError):
    """An entry that leaves the last good one in force."""


class Known:
    """The latest of all of it. `version` grows with each change of routes; `ignored` hears of what is unreadable.

    `marks` may be ahead of the states of alerts that are read: only what was read `up_to` counts.
    """

    def __init__(self, ignored: Ignored, partitions: int = 1) -> None:
        self.channels: dict[str, Channel] = {}
        self.muting = Muting()
        self.directory = Directory()
        self.version = 0
        self.marks = Marks(partitions)
        self._ignored = ignored
        self._board = Board()

    def read_channel(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `channels`."""
        try:
            channel = self._read(Channel, key, value)
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
            tree = self._tree(offset, key, value)
        except Unreadable:
            return
        self.muting.put_tree(tree)
        self.version += 1

    def _tree(self, offset: int, key: bytes, value: bytes | None) -> Tree | None:
        routing = self._read(Routing, key, value)
        return Tree(routing, offset) if routing else None

    def read_silence(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `silences`."""
        try:
            self.muting.silences.put(_text(key), self._read(Silence, key, value))
        except Unreadable:
            return

    def read_escalation(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `escalations`."""
        try:
            found = codec.decode_escalation(value, _text(key)) if value else None
        except codec.UnreadableRecord as error:
            self._ignored("escalation", _text(key), str(error))
            return
        self.directory.put(_text(key), found)

    def read_active(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `alert-state`."""
        try:
            event = codec.decode(AlertEvent, value) if value else None
        except codec.UnreadableRecord as error:
            self._ignored("the state of an alert", _text(key), str(error))
            return
        if self._board.is_news(_text(key), event):
            self.muting.inhibitor.put(_text(key), labels_on_board(event))

    def read_mark(self, _offset: int, key: bytes, value: bytes | None, _at_ms: int) -> None:
        """One record of `marks`."""
        try:
            if value:
                self.marks.put(_text(key), codec.decode_mark(value))
        except codec.UnreadableRecord as error:
            self._ignored("a mark", _text(key), str(error))

    @property
    def reached_ms(self) -> int:
        """As `muting.reached_ms`, once all that was written before the marks is read."""
        return max(self.muting.reached_ms, self.marks.reached.watermark_ms)

    def up_to(self, reached: Reached) -> None:
        """All states of alerts that there were when marks said this are read. Who waited for them longer than others
        may say less than is known."""
        if reached.watermark_ms >= self.muting.reached.watermark_ms:
            self.muting.reached = reached

    def _read(self, kind: type[_Document], key: bytes, value: bytes | None) -> _Document | None:
        if not value:
            return None
        try:
            return codec.decode_document(kind, value, _text(key))
        except codec.UnreadableRecord as error:
            self._ignored(kind.__name__.lower(), _text(key), str(error))
            raise Unreadable from None


def _text(key: bytes) -> str:
    return key.decode(errors="replace")
