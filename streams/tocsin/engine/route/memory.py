"""Route in one process, on tables in memory: for tests of rules."""

from collections.abc import Iterable

from tocsin.engine.route.board import labels_on_board
from tocsin.engine.route.known import Known
from tocsin.engine.route.runs import Done, Partition
from tocsin.engine.route.step import Changes
from tocsin.engine.route.store import Index
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.grouping import Join, RouteTick
from tocsin.schemas.mark import Mark
from tocsin.schemas.notification import Delivery, Notification


class Damaged(AssertionError):
    """What was stored here cannot be read here."""


class MemoryRoute:
    """Alert events and time in; what is said stands in the lists, in the order in which it is."""

    def __init__(self, known: Known) -> None:
        self.notifications: list[Notification] = []
        self.unroutable: list[Delivery] = []
        self.commands: list[Command] = []
        self._known = known
        self._entries: dict[str, bytes] = {}
        self._index = Index(_damaged)
        self._partition = Partition(0, known, self._index, _damaged)

    def take(self, events: Iterable[AlertEvent], at_ms: int) -> None:
        """Lifecycle said this at a time."""
        said = [(at_ms, event) for event in events]
        for _, event in said:
            self._known.muting.inhibitor.put(event.fingerprint, labels_on_board(event))
        if said:
            self._keep(self._partition.alerts(said, self._entries.get), at_ms)

    def mark(self, name: str, mark: Mark) -> None:
        """A partition is so far, and what it said was taken."""
        self._known.marks.put(name, mark)
        self._known.up_to(self._known.marks.reached)

    def tick(self, at_ms: int) -> None:
        """It is so late now."""
        if self._index.is_due(at_ms, self._known.muting.reached_ms):
            self._keep(self._partition.groups([(at_ms, RouteTick(at_ms))], self._entries.get), at_ms)

    def _keep(self, done: Done, at_ms: int) -> None:
        for name, value in done.entries.items():
            if value is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = value
        self._index.put(done.entries)
        joins: list[Join] = []
        for changes in done.changes:
            self.notifications += changes.notifications
            self.unroutable += changes.unroutable
            if isinstance(changes, Changes):
                self.commands += changes.commands
                joins += changes.joins
        if joins:
            self._keep(self._partition.groups([(at_ms, join) for join in joins], self._entries.get), at_ms)


def _damaged(text: str, **_: object) -> None:
    raise Damaged(text)
