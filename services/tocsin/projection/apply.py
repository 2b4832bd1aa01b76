"""From records on topics to rows: what each record changes, and which records are no good."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from aiokafka import ConsumerRecord
from sqlalchemy import BigInteger, Integer, String, Table, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tocsin.projection import tables
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.audit import AuditEntry
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import UnreadableRecord, decode, decode_document, decode_escalation
from tocsin.schemas.decision import Decision
from tocsin.schemas.escalation import kind_of
from tocsin.schemas.feedback import Feedback
from tocsin.schemas.incident import Incident
from tocsin.schemas.instant import MAX_MS, parse_instant
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.notification import Delivery
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate, ShadowProgress
from tocsin.schemas.silence import Silence
from tocsin.schemas.topics import Topics

SEPARATOR = "\x1f"
_ACTIVE = ("pending", "firing", "acknowledged")
_MAX_SHOWN_BYTES = 16_384
_MAX_ID = 128
_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_NUL, _REPLACED = "\x00", "\N{REPLACEMENT CHARACTER}"
_DEPTH_OF_ANSWERS = 8  # lists and objects that an answer puts around a body

Row = dict[str, Any]
Change = tuple[Table, str, Row | None]  # None removes the row with this key
ChangeOf = Callable[[ConsumerRecord], Change | None]


def changes_of(topics: Topics) -> Mapping[str, ChangeOf]:
    """For each topic the projection follows: what one of its records changes.

    Each raises UnreadableRecord, and nothing else, for a record that cannot become a row.
    """
    found: dict[str, ChangeOf] = {
        topics.rules: _rule,
        topics.channels: lambda record: _document("channels", lambda value: decode_document(Channel, value).id, record),
        topics.routes: lambda record: _document("routes", lambda value: decode_document(Routing, value).id, record),
        topics.silences: lambda record: _document("silences", lambda value: decode_document(Silence, value).id, record),
        topics.escalations: _escalation,
        topics.decisions: _decision,
        topics.audit: _audit,
        topics.incidents: lambda record: _document("incidents", lambda value: decode(Incident, value).id, record),
        topics.alert_state: _state,
        topics.alerts: _event,
        topics.deliveries: _delivery,
        topics.feedback: _feedback,
        topics.dlq: _dead_letter,
        topics.shadow_alerts: _shadow_event,
        topics.shadow_progress: _shadow_progress,
    }
    return {topic: _checked(read) for topic, read in found.items()}


def _checked(read: ChangeOf) -> ChangeOf:
    """The same, held to what every database takes: SQLite would store what PostgreSQL refuses."""

    def change_of(record: ConsumerRecord) -> Change | None:
        try:
            change = read(record)
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
            raise UnreadableRecord(str(error) or type(error).__name__) from None
        if change is None:
            return None
        table, key, row = change
        return table, key, row and {name: _fitting(table, name, value) for name, value in row.items()}

    return change_of


def _fitting(table: Table, name: str, value: Any) -> Any:
    kind = table.c[name].type
    if isinstance(value, str):
        value = value.replace(_NUL, _REPLACED)  # JSON may spell it \u0000, and PostgreSQL takes none
        if isinstance(kind, String) and kind.length and len(value) > kind.length:
            raise UnreadableRecord(f"{name}: {len(value)} characters, more than {kind.length}")
    if isinstance(kind, Integer) and isinstance(value, int):
        bits = 63 if isinstance(kind, BigInteger) else 31
        if not -(2**bits) <= value < 2**bits:
            raise UnreadableRecord(f"{name}: {value} does not fit into {bits + 1} bits")
    return value


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


def _rule(record: ConsumerRecord) -> Change | None:
    """A rule, or a candidate in shadow beside it."""
    if is_shadow(_text(record.key)):
        return _document("shadows", lambda value: decode_document(Candidate, value).id, record)
    return _document("rules", lambda value: decode_document(Rule, value).id, record)


def _escalation(record: ConsumerRecord) -> Change | None:
    """A person, a schedule or an escalation policy, under its id alone."""
    key = _text(record.key)
    kind, identity = kind_of(key)
    return _document(kind, lambda value: decode_escalation(value, key).id, record, identity)


def _document(
    kind: str, id_of: Callable[[bytes], str], record: ConsumerRecord, named: str | None = None
) -> Change | None:
    """One that cannot be read changes nothing: the last good one stays, here as in the evaluators.

    `named` is its id, unless that is the record's key.
    """
    identity = _text(record.key) if named is None else named
    if not record.value:
        return tables.document, f"{kind}/{identity}", None
    found = id_of(record.value)
    if found != identity:
        raise UnreadableRecord(f"id: {found!r} lies under the key {identity!r}")
    row = {
        "kind": kind,
        "id": identity,
        "revision": record.offset,
        "updated_ms": _moment(record.timestamp),
        "body": _body(record),
    }
    return tables.document, f"{kind}/{identity}", row


def unreadable(topics: Topics, record: ConsumerRecord, reason: str) -> Change | None:
    """What is noted of a record that changes nothing: of configuration the last for each key."""
    if record.topic not in (topics.rules, topics.channels, topics.routes, topics.silences, topics.escalations):
        return None
    of, identity = record.topic.removeprefix(topics.prefix), _text(record.key)
    if record.topic == topics.escalations:
        of, identity = kind_of(identity)
    kind, identity = tables.UNREADABLE + of, identity[:_MAX_ID]
    body = {"reason": _text(reason.encode(errors="replace")), "value": _text(record.value)[:_MAX_SHOWN_BYTES]}
    row = {
        "kind": kind,
        "id": identity,
        "revision": record.offset,
        "updated_ms": _moment(record.timestamp),
        "body": orjson.dumps(body).decode(),
    }
    return tables.document, f"{kind}/{identity}", row


def _state(record: ConsumerRecord) -> Change | None:
    fingerprint = _text(record.key)
    if not record.value:
        return tables.active, fingerprint, None
    alert = decode(AlertEvent, record.value)
    if alert.fingerprint != fingerprint:
        raise UnreadableRecord(f"fingerprint: {alert.fingerprint!r} lies under the key {fingerprint!r}")
    return tables.active, fingerprint, _alert(alert, record) if alert.status in _ACTIVE else None


def _event(record: ConsumerRecord) -> Change | None:
    alert = decode(AlertEvent, record.value)
    row = _alert(alert, record) | {
        "id": alert.id,
        "type": alert.type,
        "sequence": alert.sequence,
        "at_ms": parse_instant(alert.updated_at),
        "fired_ms": parse_instant(alert.fired_at) if alert.fired_at else None,
        "learns": "score" in (alert.expected or {}),
    }
    return tables.event, alert.id, row


def _shadow_event(record: ConsumerRecord) -> Change | None:
    alert = decode(AlertEvent, record.value)
    row = {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "revision": alert.rule_revision,
        "at_ms": parse_instant(alert.updated_at),
        "body": _body(record),
    }
    return tables.shadow_event, alert.id, row


def _shadow_progress(record: ConsumerRecord) -> Change | None:
    one = decode(ShadowProgress, record.value)
    identity = f"{one.rule_id}/{one.partition}"
    row = {name: getattr(one, name) for name in ("rule_id", "run", "samples", "series", "at_ms")}
    return tables.shadow_progress, identity, {"id": identity, **row}


def _alert(alert: AlertEvent, record: ConsumerRecord) -> Row:
    # A separator within a value would forge a label of its own.
    labels = [f"{name}={value}".replace(SEPARATOR, _REPLACED) for name, value in alert.labels.items()]
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
        "drill": alert.drill,
        "body": _body(record),
    }


def _delivery(record: ConsumerRecord) -> Change | None:
    one = decode(Delivery, record.value)
    names = ("id", "notification_id", "fingerprint", "rule_id", "channel_id", "channel_type", "outcome", "test")
    row = {name: getattr(one, name) for name in names}
    row |= {"at_ms": parse_instant(one.at), "latency_ms": one.latency_ms, "body": _body(record)}
    return tables.delivery, one.id, row


def _decision(record: ConsumerRecord) -> Change | None:
    one = decode(Decision, record.value)
    row = {"id": one.id, "fingerprint": one.fingerprint, "outcome": one.outcome, "at_ms": parse_instant(one.at)}
    return tables.decision, one.id, {**row, "body": _body(record)}


def _audit(record: ConsumerRecord) -> Change | None:
    one = decode(AuditEntry, record.value)
    identity = f"{record.offset:020d}"
    row = {"id": identity, "at_ms": parse_instant(one.at), "actor": one.actor, "action": one.action}
    return tables.audit, identity, {**row, "body": _body(record)}


def _feedback(record: ConsumerRecord) -> Change | None:
    one = decode(Feedback, record.value)
    identity = f"{one.fingerprint}/{parse_instant(one.starts_at)}"
    row = {"id": identity, "fingerprint": one.fingerprint, "rule_id": one.rule_id, "at_ms": parse_instant(one.at)}
    return tables.feedback, identity, {**row, "body": _body(record)}


def _dead_letter(record: ConsumerRecord) -> Change | None:
    headers = {name: _text(value) for name, value in record.headers}
    identity = f"{record.partition}-{record.offset}"
    value = record.value or b""
    body = {
        "id": identity,
        "at_ms": _moment(record.timestamp),
        **{name: headers.get(name, "") for name in ("reason", "detail", "topic", "stage", "channel_id")},
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
        "at_ms": _moment(record.timestamp),
        "body": orjson.dumps(body).decode(),
    }
    return tables.dead_letter, identity, row


def _body(record: ConsumerRecord) -> str:
    """The value as text, tried once as it will be answered: what is nested too deeply would fail with every list."""
    found = orjson.loads(record.value)
    for _ in range(_DEPTH_OF_ANSWERS):
        found = [found]
    orjson.dumps(found)
    return _text(record.value)


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace").replace(_NUL, _REPLACED)


def _moment(at_ms: int) -> int:
    """A record's time within what can be written as a date: producers may set any."""
    return min(max(at_ms, 0), MAX_MS)


def _number(text: str | None) -> int | None:
    return int(text) if text and _WHOLE_NUMBER.fullmatch(text) else None
