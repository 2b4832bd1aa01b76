"""Figures over alerts and deliveries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tocsin.projection.database import Database
from tocsin.projection.tables import active, delivery, event
from tocsin.schemas.instant import format_instant
from tocsin.schemas.signal import SERIES_LIMIT

_TOP = 10
_LATENCIES = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """[from_ms, to_ms) in buckets of `bucket_ms`."""

    from_ms: int
    to_ms: int
    bucket_ms: int


async def statistics(database: Database, span: Span) -> dict[str, Any]:
    """Active alerts now, and what happened in a span: counts, MTTA and MTTR (seconds), deliveries, top rules. Drills
    are left out."""
    real = active.c.drill.is_(False)
    within = (event.c.at_ms >= span.from_ms) & (event.c.at_ms < span.to_ms) & event.c.drill.is_(False)
    async with database.reading() as connection:
        fired = within & (event.c.type == "firing")
        return {
            "from": format_instant(span.from_ms),
            "to": format_instant(span.to_ms),
            "active": {
                "total": await connection.scalar(select(func.count()).select_from(active).where(real)),
                "by_status": await _counts(connection, active.c.status, real),
                "by_severity": await _counts(connection, active.c.severity, real),
                "by_rule": await _counts(connection, active.c.rule_id, real, limit=_TOP),
            },
            "events": {
                "by_type": await _counts(connection, event.c.type, within),
                "fired_by_severity": await _counts(connection, event.c.severity, fired),
                "fired_by_rule": await _counts(connection, event.c.rule_id, fired, limit=_TOP),
                "fired_by_alert": await _counts(connection, event.c.fingerprint, fired, limit=_TOP),
                "buckets": await _buckets(connection, within, span),
            },
            "mtta_s": await _mean_s(connection, within & (event.c.type == "acknowledged")),
            "mttr_s": await _mean_s(connection, within & (event.c.type == "resolved")),
            "deliveries": await _deliveries(connection, span),
        }


async def refused_series(database: Database) -> dict[tuple[str, str], float]:
    """How many series a limit leaves unwatched, by rule (empty for all together) and limit."""
    query = select(active.c.body).where(active.c.rule_id == SERIES_LIMIT)
    async with database.reading() as connection:
        alerts = [orjson.loads(row[0]) for row in await connection.execute(query)]
    return {(one["labels"].get("rule_id", ""), one["labels"].get("limit", "")): one["value"] or 0.0 for one in alerts}


async def active_counts(database: Database) -> dict[tuple[str, str], int]:
    """Active alerts by status and severity, drills left out."""
    query = select(active.c.status, active.c.severity, func.count()).where(active.c.drill.is_(False))
    query = query.group_by(active.c.status, active.c.severity)
    async with database.reading() as connection:
        return {(row[0], row[1]): row[2] for row in await connection.execute(query)}


async def _counts(
    connection: AsyncConnection, column: Any, where: ColumnElement[bool] | None = None, limit: int | None = None
) -> dict[str, int]:
    query = select(column, func.count()).group_by(column).order_by(func.count().desc(), column)
    if where is not None:
        query = query.where(where)
    return {str(row[0]): row[1] for row in await connection.execute(query.limit(limit))}


async def _buckets(connection: AsyncConnection, within: ColumnElement[bool], span: Span) -> list[dict[str, Any]]:
    number = ((event.c.at_ms - span.from_ms) // span.bucket_ms).label("number")
    query = select(number, event.c.type, func.count()).where(within).group_by(number, event.c.type)
    found: dict[int, Counter[str]] = {}
    for row in await connection.execute(query):
        found.setdefault(int(row[0]), Counter())[row[1]] += row[2]
    last = (span.to_ms - span.from_ms - 1) // span.bucket_ms
    return [
        {"start": format_instant(span.from_ms + index * span.bucket_ms), **found.get(index, {})}
        for index in range(last + 1)
    ]


async def _mean_s(connection: AsyncConnection, where: ColumnElement[bool]) -> float | None:
    mean = await connection.scalar(select(func.avg(event.c.at_ms - event.c.fired_ms)).where(where))
    return None if mean is None else round(float(mean) / 1_000, 3)


async def _deliveries(connection: AsyncConnection, span: Span) -> dict[str, Any]:
    within = (delivery.c.at_ms >= span.from_ms) & (delivery.c.at_ms < span.to_ms)
    outcomes = await _counts(connection, delivery.c.outcome, within)
    settled = outcomes.get("delivered", 0) + outcomes.get("failed", 0)
    query = select(delivery.c.latency_ms).where(within & (delivery.c.outcome == "delivered"))
    latest = query.order_by(delivery.c.at_ms.desc()).limit(_LATENCIES)
    latencies = sorted((await connection.scalars(latest)).all())
    by_channel: dict[str, dict[str, int]] = {}
    pairs = select(delivery.c.channel_id, delivery.c.outcome, func.count()).where(within)
    for row in await connection.execute(pairs.group_by(delivery.c.channel_id, delivery.c.outcome)):
        by_channel.setdefault(row[0], {})[row[1]] = row[2]
    return {
        "by_outcome": outcomes,
        "by_channel": by_channel,
        "success_rate": round(outcomes.get("delivered", 0) / settled, 4) if settled else None,
        "latency_ms": {f"p{rank}": _rank(latencies, rank) for rank in (50, 95, 99)},
    }


def _rank(ordered: list[float], percent: int) -> float | None:
    """The nearest-rank percentile."""
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 1) if ordered else None
