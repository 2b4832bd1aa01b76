"""The report on a candidate in shadow: its alerts beside those of the rule in force, and what it has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from tocsin.engine import comparison
from tocsin.engine.route.tree import Tree
from tocsin.projection import shadows
from tocsin.projection.database import Database
from tocsin.projection.queries import Document, documents, one_document
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.schemas.route import ROUTING_ID, Routing
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import KEPT_MS, Candidate
from tocsin.schemas.topics import CHANNEL_TYPES


@dataclass(frozen=True, slots=True)
class Running:
    """A candidate, in shadow or after its time there, and the revision of its record."""

    candidate: Candidate
    revision: int

    @classmethod
    def read(cls, entry: Document, now_ms: int) -> Self | None:
        """What an entry holds; None once what it said is no longer kept, or if this tocsin cannot read it."""
        try:
            candidate = Candidate.model_validate(entry.body)
        except ValidationError:
            return None
        return cls(candidate, entry.revision) if now_ms < candidate.since_ms + KEPT_MS else None

    @property
    def rule_id(self) -> str:
        """The rule that it would replace."""
        return self.candidate.rule_id

    @property
    def run(self) -> int:
        """The revision that began it."""
        return self.candidate.run_at(self.revision)

    def goes_on(self, rule: Rule, now_ms: int) -> bool:
        """Whether this rule is it, and its time is not over."""
        return now_ms < self.candidate.until_ms and rule == self.candidate.rule


def holds(entry: Document, rule: Rule) -> bool:
    """Whether an entry is this rule; one that cannot be read is another."""
    try:
        return Rule.model_validate(entry.body) == rule
    except ValidationError:
        return False


def head(running: Running, now_ms: int) -> dict[str, Any]:
    """What runs, and from when to when."""
    candidate = running.candidate
    return {
        "rule_id": running.rule_id,
        "state": "running" if now_ms < candidate.ends_ms else "over",
        "since": format_instant(candidate.since_ms),
        "until": format_instant(candidate.until_ms),
        "revision": running.revision,
        "candidate": candidate.rule.document(),
    }


async def compared(database: Database, running: Running, now_ms: int) -> dict[str, Any]:
    """The whole report as plain values."""
    candidate, rule_id = running.candidate, running.rule_id
    until_ms = min(candidate.until_ms, now_ms)
    current = await one_document(database, "rules", rule_id)
    seen = await shadows.seen_by_candidate(database, rule_id, running.run)
    sides = (
        await shadows.said_by_rule(database, rule_id, candidate.since_ms, until_ms),
        await shadows.active_of_rule(database, rule_id),
        await shadows.said_by_candidate(database, rule_id, running.run),
    )
    routing = await one_document(database, "routes", ROUTING_ID)
    tree = _tree(routing) if routing else None
    tell = comparison.teller(_channels(await documents(database, "channels")), CHANNEL_TYPES, tree)
    # A thread: with tens of thousands of events it takes long enough to hold up other requests.
    through_ms, found = await asyncio.to_thread(_compare, sides, tell, candidate.since_ms, until_ms)
    return {
        **head(running, now_ms),
        "compared_until": format_instant(through_ms),
        "current": _current(current, candidate),
        "judged": {
            "samples": seen.samples,
            "series": seen.series,
            "at": format_instant(seen.at_ms) if seen.at_ms else None,
        },
        "notifications": {"added": found.added, "removed": found.removed},
        **comparison.document(found),
    }


def _compare(
    sides: tuple[Sequence[str], Sequence[str], Sequence[str]],
    tell: comparison.TellOf,
    since_ms: int,
    until_ms: int,
) -> tuple[int, comparison.Comparison]:
    """Up to when, and what: where a side said more than is read, only as far as that reaches."""
    said, active, proposed = ([decode(AlertEvent, body.encode()) for body in side] for side in sides)
    for side in (said, proposed):
        if len(side) >= shadows.MOST_EVENTS:
            until_ms = min(until_ms, parse_instant(side[-1].updated_at))
    current = comparison.episodes([*said, *active], tell, until_ms)
    candidate = comparison.episodes(proposed, tell, until_ms)
    return until_ms, comparison.compare(current, candidate, since_ms, until_ms)


def _current(entry: Document | None, candidate: Candidate) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"revision": entry.revision, "changed": entry.revision != candidate.against}


def _tree(entry: Document) -> Tree | None:
    try:
        return Tree(Routing.model_validate(entry.body))
    except ValidationError:
        return None


def _channels(entries: Sequence[Document]) -> dict[str, Channel]:
    """Those that are sound; others tell nobody."""
    found = {}
    for entry in entries:
        try:
            found[entry.id] = Channel.model_validate(entry.body)
        except ValidationError:
            continue
    return found
