"""Each record's one encoding and one decoding. Everything here is JSON in UTF-8."""

from typing import TypeVar

import msgspec
import orjson
from pydantic import BaseModel, ValidationError

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.audit import AuditEntry
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command
from tocsin.schemas.decision import Decision
from tocsin.schemas.escalation import KINDS, EscalationDocument, EscalationPolicy, kind_of
from tocsin.schemas.feedback import Feedback
from tocsin.schemas.grouping import GroupInput, Join, RouteTick
from tocsin.schemas.incident import Incident
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.mark import Mark, Passed, WorkedOff
from tocsin.schemas.notification import Delivery, Notification, Remembered
from tocsin.schemas.oncall import Person, Schedule
from tocsin.schemas.problems import field_errors
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate, ShadowProgress
from tocsin.schemas.signal import Signal
from tocsin.schemas.silence import Silence

Record = (
    Signal
    | Command
    | AlertEvent
    | Notification
    | Delivery
    | Remembered
    | ShadowProgress
    | Decision
    | Join
    | RouteTick
    | Incident
    | AuditEntry
    | Passed
    | WorkedOff
    | Feedback
)
_Record = TypeVar(
    "_Record",
    Signal,
    Command,
    AlertEvent,
    Notification,
    Delivery,
    Remembered,
    ShadowProgress,
    Decision,
    RouteTick,
    Incident,
    AuditEntry,
    Feedback,
)
Document = Rule | Channel | Routing | Silence | EscalationDocument
_Document = TypeVar("_Document", Rule, Channel, Routing, Silence, EscalationPolicy, Schedule, Person)
_encoder = msgspec.json.Encoder()
_group_decoder: msgspec.json.Decoder[GroupInput] = msgspec.json.Decoder(GroupInput)
_mark_decoder: msgspec.json.Decoder[Mark] = msgspec.json.Decoder(Mark)


class UnreadableRecord(ValueError):
    """A record on one of tocsin's own topics that is not what it should be."""


def encode(record: Record) -> bytes:
    """A record as it lies on its topic."""
    return _encoder.encode(record)


def decode(kind: type[_Record], value: bytes | None) -> _Record:
    """Read a record back; raises UnreadableRecord that says why not."""
    try:
        return msgspec.json.decode(value or b"", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"not a {kind.__name__}: {error}") from None


def decode_group_input(value: bytes | None) -> GroupInput:
    """Read a record of `groups` back; raises UnreadableRecord that says why not."""
    try:
        return _group_decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"not an input of a group: {error}") from None


def decode_mark(value: bytes | None) -> Mark:
    """Read a record of `marks` back; raises UnreadableRecord that says why not."""
    try:
        return _mark_decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"not a mark: {error}") from None


def encode_document(document: Document) -> bytes:
    """A configuration entry as it lies on its compacted topic."""
    return document.encoded if isinstance(document, Rule) else orjson.dumps(document.model_dump(mode="json"))


def decode_document(kind: type[_Document], value: bytes, key: str | None = None) -> _Document:
    """Read a configuration entry back; raises UnreadableRecord with every mistake in it.

    `key` is that of its record, which must be its id: a tombstone of the id would never delete it otherwise.
    """
    try:
        document = kind.model_validate(orjson.loads(value))
    except ValidationError as error:
        raise UnreadableRecord("; ".join(map(str, field_errors(error, kind)))) from None
    except orjson.JSONDecodeError as error:
        raise UnreadableRecord(f"not JSON: {error}") from None
    if key not in (None, document.id):
        raise UnreadableRecord(f"id: {document.id!r} is not the record's key; write it under its id")
    return document


def decode_rule(value: bytes, key: str) -> Rule:
    """Read an entry of `rules` back, a Candidate where the key is marked; raises UnreadableRecord."""
    return decode_document(Candidate if is_shadow(key) else Rule, value, key)


def decode_escalation(value: bytes, key: str) -> EscalationDocument:
    """Read an entry of `escalations` back: a policy, a schedule or a person, by its key; raises UnreadableRecord."""
    kind, identity = kind_of(key)
    return decode_document(KINDS[kind], value, identity)  # type: ignore[type-var]


def as_json(model: BaseModel) -> bytes:
    """Any pydantic model as JSON."""
    return orjson.dumps(model.model_dump(mode="json"))
