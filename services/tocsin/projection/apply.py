"""From records on topics to rows: what each record changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog
from aiokafka import ConsumerRecord
from sqlalchemy import Table, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tocsin.projection import tables
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import UnreadableRecord, decode
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Delivery
from tocsin.schemas.topics import Topics

SEPARATOR = "\x1f"
_ACTIVE = ("pending", "firing", "acknowledged")
_MAX_SHOWN_BYTES = 16_384
_log = structlog.get_logger("tocsin.projection")

Row = dict[str, Any]
Change = tuple[Table, str, Row | None]  # None removes the row with this key


def changes_of(topics: Topics) -> Mapping[str, Callable[[ConsumerRecord], Change | None]]:
    """For each topic the projection follows: what one of its records changes."""
    return {
        topics.rules: lambda record: _document("rules", record),
        topics.channels: lambda record: _document("channels", record),
        topics.alert_state: _state,
        topics.alerts: _event,
        topics.deliveries: _delivery,
        topics.dlq: _dead_letter,
    }


async def apply(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Write changes; the last one of a row counts."""
    latest: dict[tuple[Table, str], Row | None] = {(table, key): row for table, key, row in changes}
    for table in {table for table, _ in latest}:
        rows = [row for (of, _), row in latest.items() if of is table and row is not None]
        gone = [key for (of, key), row in latest.items() if of is table and row is None]
        if rows:
            await _upsert(connection, table, rows)
        for key in gone:
            await connection.execute(delete(table).where(_is(table, key)))


def _is(table: Table, key: str) -> Any:
    if table is tables.document:
        kind, _, identity = key.partition("/")
        return (table.c.kind == kind) & (table.c.id == identity)
    return next(iter(table.primary_key.columns)) == key


async def _upsert(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def _document(kind: str, record: ConsumerRecord) -> Change | None:
    identity = _text(record.key)
    if not record.value:
        return tables.document, f"{kind}/{identity}", None
    row = {
        "kind": kind,
        "id": identity,
        "revision": record.offset,
        "updated_ms": record.timestamp,
        "body": _text(record.value),
    }
    return tables.document, f"{kind}/{identity}", row


def _state(record: ConsumerRecord) -> Change | None:
    fingerprint = _text(record.key)
    if not record.value:
        return tables.active, fingerprint, None
    alert = _read(AlertEvent, record)
    if alert is None:
        return None
    return tables.active, fingerprint, _alert(alert, record) if alert.status in _ACTIVE else None


def _event(record: ConsumerRecord) -> Change | None:
    alert = _read(AlertEvent, record)
    if alert is None:
        return None
    row = _alert(alert, record) | {
        "id": alert.id,
        "type": alert.type,
        "sequence": alert.sequence,
        "at_ms": parse_instant(alert.updated_at),
        "fired_ms": parse_instant(alert.fired_at) if alert.fired_at else None,
    }
    return tables.event, alert.id, row


def _alert(alert: AlertEvent, record: ConsumerRecord) -> Row:
    labels = [f"{name}={value}" for name, value in alert.labels.items()]
    words = (alert.rule_id, alert.rule_name, *labels, *alert.annotations.values())
    return {
        "fingerprint": alert.fingerprint,
        "status": alert.status,
        "severity": alert.severity,
        "category": alert.category,
        "rule_id": alert.rule_id,
        "labels": SEPARATOR.join(("", *labels, "")),
        "search": "\n".join(words).lower(),
        "starts_ms": parse_instant(alert.starts_at),
        "body": _text(record.value),
    }


def _delivery(record: ConsumerRecord) -> Change | None:
    one = _read(Delivery, record)
    if one is None:
        return None
    names = ("id", "notification_id", "fingerprint", "rule_id", "channel_id", "channel_type", "outcome", "test")
    row = {name: getattr(one, name) for name in names}
    row |= {"at_ms": parse_instant(one.at), "latency_ms": one.latency_ms, "body": _text(record.value)}
    return tables.delivery, one.id, row


def _dead_letter(record: ConsumerRecord) -> Change | None:
    headers = {name: _text(value) for name, value in record.headers}
    identity = f"{record.partition}-{record.offset}"
    value = record.value or b""
    body = {
        "id": identity,
        "at_ms": record.timestamp,
        **{name: headers.get(name, "") for name in ("reason", "detail", "topic", "stage")},
        "partition": _number(headers.get("partition")),
        "offset": _number(headers.get("offset")),
        "key": _text(record.key),
        "size": len(value),
        "value": _text(value[:_MAX_SHOWN_BYTES]),
    }
    row = {
        "id": identity,
        "partition": record.partition,
        "offset": record.offset,
        "reason": str(body["reason"])[:64],
        "at_ms": record.timestamp,
        "body": orjson.dumps(body).decode(),
    }
    return tables.dead_letter, identity, row


def _read(kind: Any, record: ConsumerRecord) -> Any:
    try:
        return decode(kind, record.value)
    except UnreadableRecord as error:
        at = f"{record.topic}/{record.partition}@{record.offset}"
        _log.warning("a record was passed over", at=at, reason=str(error))
        return None


def _text(value: bytes | None) -> str:
    # PostgreSQL takes no NUL in a text.
    return (value or b"").decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
