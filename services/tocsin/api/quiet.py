"""What keeps active alerts quiet at this moment, for lists: nobody is told of them, though they fire."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tocsin.engine.route.inhibition import Inhibitor
from tocsin.engine.route.silences import Silences
from tocsin.engine.route.tree import Tree
from tocsin.projection import queries
from tocsin.projection.database import Database
from tocsin.projection.queries import Document, Item
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.instant import format_instant
from tocsin.schemas.route import ROUTING_ID, Routing
from tocsin.schemas.silence import Silence

_QUIETING: Final = ("inhibit_rules", "dependencies", "time_intervals")


@dataclass(frozen=True, slots=True)
class Known:
    """What may keep alerts quiet: silences, routes (None where nothing in them does), and the active alerts that were
    last said to inhibit others."""

    silences: Sequence[Document] = ()
    routes: Document | None = None
    sources: Collection[Item] = field(default_factory=list)


async def with_quiet(database: Database, alerts: list[Item], now_ms: int) -> list[Item]:
    """The same active alerts, each with `quiet`. However many they are, a few queries answer for all of them."""
    if not alerts:
        return []
    now = format_instant(now_ms)
    silences = [one for one in await queries.documents(database, "silences") if not _is_over(one.body, now)]
    routes = await queries.one_document(database, "routes", ROUTING_ID)
    if routes is not None and not any(map(routes.body.get, _QUIETING)):
        routes = None
    sources: Collection[Item] = ()
    if routes is not None:
        sources = await queries.inhibiting(database, [one["fingerprint"] for one in alerts])
    if not silences and routes is None:
        return [{**one, "quiet": []} for one in alerts]
    # A thread: many alerts by many silences take long enough to hold up other requests.
    return await asyncio.to_thread(marked, alerts, Known(silences, routes, sources), now_ms)


def _is_over(silence: Mapping[str, Any], now: str) -> bool:
    """Whether one is surely over, without reading all of it: they are kept for days."""
    end = silence.get("ends_at")
    return isinstance(end, str) and len(end) == len(now) and end[-1] == "Z" and end <= now


def marked(alerts: Sequence[Item], known: Known, now_ms: int) -> list[Item]:
    """The alerts with `quiet`: a list of `why` (`inhibited`, `outside hours` or `silenced`), and `by`, as in decisions;
    of each silence by itself, with its comment and the end of its window. Pure."""
    judge = _Judge(known, now_ms)
    return [{**one, "quiet": judge.quiet(msgspec.convert(one, AlertEvent))} for one in alerts]


class _Judge:
    def __init__(self, known: Known, now_ms: int) -> None:
        self._now_ms = now_ms
        read = filter(None, (one.read(Silence) for one in known.silences))
        self._by_id: Final = {one.id: one for one in read}
        self._silences: Final = Silences()
        for name, silence in self._by_id.items():
            self._silences.put(name, silence)
        routing = known.routes.read(Routing) if known.routes else None
        self._tree: Final = Tree(routing) if routing and routing.time_intervals else None
        # Not all that is active, only what a decision named: what it says counts while the rules still say so.
        self._inhibitor: Final = Inhibitor(routing)
        for source in (msgspec.convert(one, AlertEvent) for one in known.sources):
            if source.is_active:
                self._inhibitor.put(source.fingerprint, routing_labels(source))

    def quiet(self, alert: AlertEvent) -> list[Item]:
        """In the order of what counts first."""
        labels, found = routing_labels(alert), list[Item]()
        if by := [name for name in self._inhibitor.sources_of(labels) if name != alert.fingerprint]:
            found.append({"why": "inhibited", "by": by})
        if not alert.notifications and (by := self._hours(labels)):
            found.append({"why": "outside hours", "by": by})
        names = self._silences.matching(labels, alert.fired_ms, self._now_ms)
        return found + [self._silenced(self._by_id[name]) for name in names]

    def _hours(self, labels: Mapping[str, str]) -> list[str]:
        """The intervals that keep all routes of an alert quiet; none where one of them is not."""
        nodes = [node for node in self._tree.find(labels) if node.options.channels] if self._tree else []
        found = [self._tree.quiet(node.options, self._now_ms) for node in nodes] if self._tree else []
        return sorted({name for names in found for name in names}) if all(found) else []

    def _silenced(self, silence: Silence) -> Item:
        ((_, end_ms),) = silence.windows(self._now_ms)
        until = format_instant(end_ms)
        return {"why": "silenced", "by": [silence.id], "until": until, "comment": silence.comment}
