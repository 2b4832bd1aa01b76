"""Which groups an alert is in: the route tree's answer, as inputs of groups."""

from dataclasses import dataclass

import msgspec

from tocsin.engine.route.decisions import decision
from tocsin.engine.route.record import Membership, RouteRecord
from tocsin.engine.route.tree import Tree
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.decision import Decision
from tocsin.schemas.grouping import Join


class Numbers(msgspec.Struct):
    """What one source of joins numbers them with; the next one is `number` + 1."""

    source: int = 0
    number: int = 0

    def next(self) -> int:
        """A number that none had before."""
        self.number += 1
        return self.number


@dataclass(frozen=True, slots=True)
class Members:
    """Puts alerts into groups, and adds what is to be said to the lists."""

    tree: Tree | None
    numbers: Numbers
    at_ms: int
    joins: list[Join]
    decisions: list[Decision]

    def take(self, record: RouteRecord, event: AlertEvent) -> None:
        """Apply an event of an alert."""
        if event.is_active:
            self._move(record, event, self._wanted(event))
            if not event.notifications:
                record.event = event
            if event.type == "firing" and not (record.groups or event.notifications or event.escalation_policy):
                self.decisions.append(_no_route(event, self.at_ms))
        elif event.status == "resolved" and (record.groups or record.event is not None):
            self._move(record, event, record.groups)
            record.groups, record.event = (), None

    def look(self, record: RouteRecord) -> bool:
        """Ask the tree again; whether it sends an alert elsewhere now."""
        event = record.event
        if event is None or not event.is_active:
            return False
        before, wanted = record.groups, self._wanted(event)
        if wanted == before:
            return False
        self._move(record, event, wanted, known=frozenset(one.group_key for one in before))
        return True

    def _wanted(self, event: AlertEvent) -> tuple[Membership, ...]:
        if self.tree is None or event.notifications:
            return ()
        labels = routing_labels(event)
        found: dict[str, Membership] = {}
        for node in self.tree.find(labels):
            group = node.group_labels(labels)
            key = node.group_key(group)
            found[key] = Membership(key, node.key, group)
        return tuple(found.values())

    def _move(
        self,
        record: RouteRecord,
        event: AlertEvent,
        wanted: tuple[Membership, ...],
        known: frozenset[str] = frozenset(),
    ) -> None:
        """Into the groups that are wanted, out of the others; of `known` ones it is there already."""
        keys = {one.group_key for one in wanted}
        self.joins.extend(self._join(one, event, left=True) for one in record.groups if one.group_key not in keys)
        self.joins.extend(self._join(one, event) for one in wanted if one.group_key not in known)
        record.groups = wanted

    def _join(self, one: Membership, event: AlertEvent, *, left: bool = False) -> Join:
        return Join(
            group_key=one.group_key,
            route=one.route,
            labels=one.labels,
            event=event,
            source=self.numbers.source,
            number=self.numbers.next(),
            left=left,
        )


def _no_route(event: AlertEvent, at_ms: int) -> Decision:
    why = "the rule names no channels, and there are no routes; add notifications to the rule, or routes"
    return decision(event, "no route", at_ms, (event.id, "no route"), reason=why)
