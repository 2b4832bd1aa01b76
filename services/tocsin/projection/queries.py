"""What is read from the tables: lists with filters and pages, and single entries, as JSON-ready values."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, Select, Table, and_, exists, func, or_, select

from tocsin.projection.apply import SEPARATOR
from tocsin.projection.database import Database
from tocsin.projection.tables import (
    UNREADABLE,
    active,
    audit,
    dead_letter,
    decision,
    delivery,
    document,
    event,
    feedback,
)
from tocsin.schemas.problems import field_errors

Item = dict[str, Any]
_MOST_NAMES = 10_000
Model = TypeVar("Model", bound=BaseModel)


class BadCursor(ValueError):
    """A cursor that no list gave."""


class OtherVersion(Exception):
    """A configuration entry that this version cannot read, and therefore leaves out of force; the text names the
    mend."""


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts: any of the values of each field, all of the labels, and a text anywhere (in lower case). `from_ms`,
    `to_ms` and `learns`, whether the rule learns what is ordinary, are of the history."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    learns: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list; `oldest_first` turns its order round."""

    limit: int = 100
    cursor: str | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a list, how to go on, and how long the whole is."""

    items: list[Item]
    next_cursor: str | None
    total: int

    def body(self) -> Item:
        """As the API answers."""
        return {"items": self.items, "next_cursor": self.next_cursor, "total": self.total}


async def active_alerts(database: Database, wanted: AlertFilter, page: Page) -> Found:
    """Alerts that are pending, firing or acknowledged, the latest first."""
    order = active.c.starts_ms, active.c.fingerprint
    return await _list(database, active, _alert_conditions(database, active, wanted), order, page)


async def alert_history(database: Database, wanted: AlertFilter, page: Page) -> Found:
    """Alert events, the latest first."""
    conditions = _alert_conditions(database, event, wanted) + _between(event, wanted.from_ms, wanted.to_ms)
    if wanted.learns is not None:
        conditions.append(_learns() == wanted.learns)
    return await _list(database, event, conditions, (event.c.at_ms, event.c.id), page)


async def deliveries(database: Database, fields: Mapping[str, Sequence[str]], page: Page) -> Found:
    """Attempts to deliver, the latest first."""
    conditions = [delivery.c[name].in_(values) for name, values in fields.items()]
    return await _list(database, delivery, conditions, (delivery.c.at_ms, delivery.c.id), page)


async def audit_entries(
    database: Database, fields: Mapping[str, Sequence[str]], span: tuple[int | None, int | None], page: Page
) -> Found:
    """What was changed through the API, the latest first."""
    conditions = [audit.c[name].in_(values) for name, values in fields.items()] + _between(audit, *span)
    return await _list(database, audit, conditions, (audit.c.at_ms, audit.c.id), page)


async def latest_seal(database: Database) -> str:
    """The seal of the last entry of the audit trail; empty while there is none."""
    found = await _one(database, select(audit.c.body).order_by(audit.c.id.desc()).limit(1))
    return str(found["seal"]) if found else ""


async def decisions(database: Database, fingerprint: str, limit: int = 200) -> list[Item]:
    """The latest decisions about one alert, the oldest of them first."""
    query = select(decision.c.body).where(decision.c.fingerprint == fingerprint)
    query = query.order_by(decision.c.at_ms.desc(), decision.c.id).limit(limit)
    async with database.reading() as connection:
        return [orjson.loads(body) for body in (await connection.scalars(query)).all()][::-1]


async def inhibiting(database: Database, fingerprints: Sequence[str]) -> list[Item]:
    """The active alerts that the latest decision of that kind about each of these names as what inhibits it."""
    age = func.row_number().over(partition_by=decision.c.fingerprint, order_by=decision.c.at_ms.desc())

    def latest(names: Sequence[str]) -> Select[Any]:
        is_meant = decision.c.fingerprint.in_(names), decision.c.outcome == "inhibited"
        ranked = select(decision.c.body, age.label("age")).where(*is_meant).subquery()
        return select(ranked.c.body).where(ranked.c.age == 1)

    found = await _bodies(database, latest, fingerprints)
    sources = sorted({name for one in found for name in one.get("by", ())})
    return await _bodies(database, lambda names: select(active.c.body).where(active.c.fingerprint.in_(names)), sources)


async def _bodies(
    database: Database, query: Callable[[Sequence[str]], Select[Any]], names: Sequence[str]
) -> list[Item]:
    """What a query finds for some names, asked for as many at once as every database takes."""
    found: list[str] = []
    async with database.reading() as connection:
        for begin in range(0, len(names), _MOST_NAMES):
            found += (await connection.scalars(query(names[begin : begin + _MOST_NAMES]))).all()
    return [orjson.loads(body) for body in found]


async def all_active(database: Database, wanted: AlertFilter | None = None) -> list[Item]:
    """Every alert that is pending, firing or acknowledged; or those that are wanted."""
    query = select(active.c.body).where(*_alert_conditions(database, active, wanted or AlertFilter()))
    async with database.reading() as connection:
        return [orjson.loads(body) for body in (await connection.scalars(query)).all()]


async def fired_since(database: Database, from_ms: int, limit: int) -> list[Item]:
    """The latest `firing` events since a time, at most `limit`."""
    query = select(event.c.body).where(event.c.at_ms >= from_ms, event.c.type == "firing")
    async with database.reading() as connection:
        found = await connection.scalars(query.order_by(event.c.at_ms.desc(), event.c.id).limit(limit))
        return [orjson.loads(body) for body in found.all()]


async def dead_letters(database: Database, fields: Mapping[str, Sequence[str]], page: Page) -> Found:
    """Dead letters, the latest first."""
    conditions = [dead_letter.c[name].in_(values) for name, values in fields.items()]
    return await _list(database, dead_letter, conditions, (dead_letter.c.at_ms, dead_letter.c.id), page)


async def dead_letter_places(database: Database, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Partition and offset on `dlq` of each of these dead letters that there is."""
    query = select(dead_letter.c.id, dead_letter.c.partition, dead_letter.c.offset).where(dead_letter.c.id.in_(ids))
    async with database.reading() as connection:
        return {row.id: (row.partition, row.offset) for row in await connection.execute(query)}


async def told_over(database: Database, channel_id: str, fingerprints: Sequence[str], since_ms: int) -> str:
    """When a channel was told, after a time, that one of these alerts is over; empty if it was not."""
    conditions = delivery.c.channel_id == channel_id, delivery.c.outcome == "delivered", delivery.c.at_ms > since_ms
    query = select(delivery.c.body).where(delivery.c.fingerprint.in_(fingerprints), *conditions)
    async with database.reading() as connection:
        found = [orjson.loads(body) for body in (await connection.scalars(query)).all()]
    return max((str(one["at"]) for one in found if one["event_type"] == "resolved"), default="")


async def put_back(database: Database, action: str, since_ms: int) -> dict[str, str]:
    """When dead letters were last put back, by their ids: what the audit trail has of an action since a time."""
    query = select(audit.c.body).where(audit.c.action == action, audit.c.at_ms >= since_ms).order_by(audit.c.at_ms)
    async with database.reading() as connection:
        entries = [orjson.loads(body) for body in (await connection.scalars(query)).all()]
    return {identity: one["at"] for one in entries for identity in (one.get("after") or {}).get("ids", ())}


async def dead_letter_origins(database: Database, reason: str) -> set[tuple[str, int]]:
    """Topic and offset of what became a dead letter for a reason."""
    query = select(dead_letter.c.body).where(dead_letter.c.reason == reason)
    async with database.reading() as connection:
        found = [orjson.loads(row.body) for row in await connection.execute(query)]
    return {(one["topic"], one["offset"]) for one in found if one["offset"] is not None}


async def active_alert(database: Database, fingerprint: str) -> Item | None:
    """One active alert."""
    return await _one(database, select(active.c.body).where(active.c.fingerprint == fingerprint))


async def timeline(database: Database, fingerprint: str, limit: int = 200) -> list[Item]:
    """The latest events of one alert, the oldest of them first.

    Not by their times: a signal has that of its samples, a command that of a clock. `sequence` begins anew when the
    state was lost, and only then, so the episode goes first.
    """
    order = event.c.starts_ms.desc(), event.c.sequence.desc()
    query = select(event.c.body).where(event.c.fingerprint == fingerprint).order_by(*order).limit(limit)
    async with database.reading() as connection:
        return [orjson.loads(body) for body in (await connection.scalars(query)).all()][::-1]


async def last_of_episode(database: Database, fingerprint: str, starts_ms: int) -> Item | None:
    """The last event of an episode of an alert, that which began at a time."""
    query = select(event.c.body).where(event.c.fingerprint == fingerprint, event.c.starts_ms == starts_ms)
    return await _one(database, query.order_by(event.c.sequence.desc()).limit(1))


async def feedback_given(
    database: Database, fields: Mapping[str, Sequence[str]], from_ms: int | None, page: Page
) -> Found:
    """What people said of alerts, of each episode the latest; the latest first."""
    conditions = [feedback.c[name].in_(values) for name, values in fields.items()] + _between(feedback, from_ms, None)
    return await _list(database, feedback, conditions, (feedback.c.at_ms, feedback.c.id), page)


async def acknowledged_since(database: Database, fingerprint: str, starts_ms: int, sequence: int) -> Item | None:
    """The first acknowledgement in an episode of an alert after the event of this number."""
    query = select(event.c.body).where(
        event.c.fingerprint == fingerprint,
        event.c.starts_ms == starts_ms,
        event.c.sequence > sequence,
        event.c.type == "acknowledged",
    )
    return await _one(database, query.order_by(event.c.sequence).limit(1))


async def delivery_of(database: Database, notification_id: str) -> Item | None:
    """The outcome of one notification; None before its first attempt."""
    query = select(delivery.c.body).where(delivery.c.notification_id == notification_id)
    return await _one(database, query.order_by(delivery.c.at_ms.desc()).limit(1))


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration entry; `revision` is its offset on its topic."""

    id: str
    revision: int
    updated_ms: int
    body: Item

    def read(self, model: type[Model]) -> Model | None:
        """As it is stored; None where this version cannot read it."""
        try:
            return model.model_validate(self.body)
        except ValidationError:
            return None

    def parse(self, model: type[Model]) -> Model:
        """As it is stored. Raises OtherVersion."""
        try:
            return model.model_validate(self.body)
        except ValidationError as error:
            what = f"{model.__name__.lower()} {self.id!r} was stored by another version of tocsin, and is not in force"
            wrong = "; ".join(map(str, field_errors(error, model)))
            raise OtherVersion(f"{what} ({wrong}); write it anew with PUT, or delete it") from None


async def documents(database: Database, kind: str) -> list[Document]:
    """All entries of a kind, by id; by code points, since each database has an order of its own."""
    return await _documents(database, select(document).where(document.c.kind == kind))


async def _documents(database: Database, query: Select[Any]) -> list[Document]:
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [_document(row) for row in sorted(rows, key=lambda row: row.id)]


async def one_document(database: Database, kind: str, identity: str) -> Document | None:
    """One entry."""
    query = select(document).where(document.c.kind == kind, document.c.id == identity)
    async with database.reading() as connection:
        row = (await connection.execute(query)).first()
        return _document(row) if row else None


async def unreadable_documents(database: Database, kind: str) -> list[Document]:
    """Records that are none and lie above an entry of a kind, by its id; their bodies are `reason` and `value`."""
    good = document.alias()
    above = (good.c.kind == kind) & (good.c.id == document.c.id) & (good.c.revision < document.c.revision)
    return await _documents(database, select(document).join(good, above).where(document.c.kind == UNREADABLE + kind))


def _document(row: Any) -> Document:
    return Document(row.id, row.revision, row.updated_ms, orjson.loads(row.body))


async def _one(database: Database, query: Select[Any]) -> Item | None:
    async with database.reading() as connection:
        body = await connection.scalar(query)
        return orjson.loads(body) if body is not None else None


def _alert_conditions(database: Database, table: Table, wanted: AlertFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [table.c[name].in_(values) for name, values in wanted.fields.items()]
    # Not LIKE, which ignores case on SQLite.
    place = func.instr if database.is_sqlite else func.strpos
    conditions += [
        place(table.c.labels, f"{SEPARATOR}{name}={value}{SEPARATOR}") > 0 for name, value in wanted.labels.items()
    ]
    if wanted.text:
        conditions.append(table.c.search.contains(wanted.text.lower(), autoescape=True))
    return conditions


def _learns() -> ColumnElement[bool]:
    """Whether any event of the episode says what was ordinary: its end need not."""
    other = event.alias()
    is_same = (other.c.fingerprint == event.c.fingerprint) & (other.c.starts_ms == event.c.starts_ms)
    return exists().where(is_same, other.c.learns)


def _between(table: Table, from_ms: int | None, to_ms: int | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if from_ms is not None:
        found.append(table.c.at_ms >= from_ms)
    if to_ms is not None:
        found.append(table.c.at_ms < to_ms)
    return found


async def _list(
    database: Database,
    table: Table,
    conditions: Sequence[ColumnElement[bool]],
    order: tuple[Any, Any],
    page: Page,
) -> Found:
    first, second = order
    query = select(first, second, table.c.body).where(*conditions)
    if page.cursor is not None:
        at, identity = read_cursor(page.cursor)
        beyond: Callable[[Any, Any], Any] = (lambda a, b: a > b) if page.oldest_first else (lambda a, b: a < b)
        query = query.where(or_(beyond(first, at), and_(first == at, beyond(second, identity))))
    directions = [column.asc() if page.oldest_first else column.desc() for column in order]
    query = query.order_by(*directions).limit(page.limit + 1)
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
        total = await connection.scalar(select(func.count()).select_from(table).where(*conditions))
    shown = rows[: page.limit]
    more = cursor_after(shown[-1][0], shown[-1][1]) if len(rows) > page.limit else None
    return Found([orjson.loads(row.body) for row in shown], more, int(total or 0))


def cursor_after(at: int, identity: str) -> str:
    """What a list says of its last entry, to go on behind it."""
    return base64.urlsafe_b64encode(orjson.dumps([at, identity])).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """What `cursor_after` was given; raises BadCursor."""
    try:
        at, identity = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError):
        raise BadCursor from None
    if not isinstance(at, int) or not -(2**63) <= at < 2**63:
        raise BadCursor
    if not isinstance(identity, str) or "\x00" in identity:
        raise BadCursor
    return at, identity
