"""What is read of shadow mode: what the rule in force said, what its candidate would have, and what that has seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from tocsin.projection.database import Database
from tocsin.projection.tables import active, event, shadow_event, shadow_progress

MOST_EVENTS = 50_000
"""Of each kind, the first ones: a report on more would help nobody, and must not fill memory."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What all partitions have shown a candidate; `at_ms` is the clock of the log then, 0 before any said so."""

    samples: int
    series: int
    at_ms: int


async def said_by_rule(database: Database, rule_id: str, since_ms: int, until_ms: int) -> list[str]:
    """Events of a rule within a time, by event time and in its order, as JSON."""
    within = event.c.at_ms >= since_ms, event.c.at_ms < until_ms
    query = select(event.c.body).where(event.c.rule_id == rule_id, *within)
    return await _bodies(database, query.order_by(event.c.at_ms, event.c.id))


async def active_of_rule(database: Database, rule_id: str) -> list[str]:
    """Alerts of a rule that are active now, the oldest first, as JSON."""
    query = select(active.c.body).where(active.c.rule_id == rule_id)
    return await _bodies(database, query.order_by(active.c.starts_ms, active.c.fingerprint))


async def said_by_candidate(database: Database, rule_id: str, run: int) -> list[str]:
    """What a candidate would have said since its run began, in the order of event time, as JSON."""
    table = shadow_event
    query = select(table.c.body).where(table.c.rule_id == rule_id, table.c.revision >= run)
    return await _bodies(database, query.order_by(table.c.at_ms, table.c.id))


async def seen_by_candidate(database: Database, rule_id: str, run: int) -> Seen:
    """How much of the metrics a candidate has seen."""
    columns = shadow_progress.c
    sums = func.sum(columns.samples), func.sum(columns.series), func.min(columns.at_ms)
    query = select(*sums).where(columns.rule_id == rule_id, columns.run == run)
    async with database.reading() as connection:
        samples, series, at_ms = (await connection.execute(query)).one()
    return Seen(int(samples or 0), int(series or 0), int(at_ms or 0))


async def _bodies(database: Database, query: Select[Any]) -> list[str]:
    async with database.reading() as connection:
        return list((await connection.scalars(query.limit(MOST_EVENTS))).all())
