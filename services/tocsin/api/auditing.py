"""Every change that is accepted goes on record: who, what, when, and how it was afterwards."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson
import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.exc import SQLAlchemyError

from tocsin.agents.clock import clock_ms
from tocsin.api.problems import Problem, unavailable
from tocsin.api.requests import fields, instant, only, page
from tocsin.api.state import Api, answer, api_of
from tocsin.audit import PURPOSE, Check, sealed
from tocsin.kafka.clients import consumer_arguments, read_to, started
from tocsin.projection import queries
from tocsin.schemas.audit import AuditEntry
from tocsin.schemas.instant import format_instant

_MOST_BYTES: Final = 65_536
_READ_S: Final = 50.0
_FETCH_MS: Final = 100
_NOTHING: Final = msgspec.Raw(b"null")
_MOST_TARGET: Final = 1_000
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
DONE: Final = "done"
"""Where a request without a token says in a `Done` who did what."""
_log = structlog.get_logger("tocsin.api.audit")


@dataclass(frozen=True, slots=True)
class Done:
    """Who did something, and to what."""

    actor: str
    target: Mapping[str, str]


class Trail:
    """What one process writes: a chain of entries, one at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        self._chain, self._number, self._previous = secrets.token_hex(8), 0, ""

    async def record(
        self, api: Api, actor: str, action: str, target: Mapping[str, str], response: web.StreamResponse
    ) -> None:
        """Put a change on record. Raises Problem 503: it is done, and not on record."""
        async with self._lock:
            try:
                seen = await queries.latest_seal(api.database)
            except (SQLAlchemyError, OSError) as error:
                raise self._lost(action, target, f"the database does not answer ({type(error).__name__})") from None
            entry = AuditEntry(
                at=format_instant(clock_ms()),
                actor=actor,
                action=action,
                target=dict(target),
                status=response.status,
                after=_after(response),
                chain=self._chain,
                number=self._number + 1,
                previous=self._previous,
                seen=seen,
            )
            entry = sealed(entry, api.vault.derived(PURPOSE))
            try:
                await api.put(api.context.topics.audit, actor.encode(), msgspec.json.encode(entry))
            except Problem as problem:
                self._begin()  # whether it was written is not known
                raise self._lost(action, target, problem.detail) from None
            self._number, self._previous = entry.number, entry.seal

    def _lost(self, action: str, target: Mapping[str, str], reason: str) -> Problem:
        _log.error("a change is not on record", action=action, target=dict(target), reason=reason)
        return unavailable(f"done, but not on record: {reason}")


TRAIL: Final = web.AppKey("trail", Trail)


async def record(request: web.Request, response: web.StreamResponse, actor: str, prefix: str) -> None:
    """Put what a request did on record, if it may do anything. Of what lies outside the API only the form of the path
    is, and what its `Done` says: the path of a link that acts is a credential."""
    resource = request.match_info.route.resource
    if request.method in _SAFE or resource is None:
        return
    action = f"{request.method} {resource.canonical.removeprefix(prefix)}"
    if resource.canonical.startswith(prefix):
        done = Done(actor, await _target(request))
    else:
        done = request.get(DONE, Done("", {}))
    await request.app[TRAIL].record(api_of(request), done.actor, action, done.target, response)


async def _target(request: web.Request) -> dict[str, str]:
    """What the path, the query and the body name."""
    found = dict(request.query) | dict(request.match_info)
    try:
        body = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        body = {}
    for name in ("id", "ids"):
        value = body.get(name) if isinstance(body, dict) else None
        if isinstance(value, str | list) and name not in found:
            found[name] = value if isinstance(value, str) else ",".join(map(str, value))
    return {name: value[:_MOST_TARGET] for name, value in found.items()}


def _after(response: web.StreamResponse) -> msgspec.Raw:
    if not isinstance(response, web.Response) or response.content_type != "application/json":
        return _NOTHING
    body = response.body
    return msgspec.Raw(body) if isinstance(body, bytes) and 0 < len(body) <= _MOST_BYTES else _NOTHING


async def list_(request: web.Request) -> web.Response:
    """What was changed through the API, the latest first."""
    only(request, ("actor", "action", "from", "to", "limit", "cursor"))
    wanted = fields(request, ("actor", "action"))
    span = instant(request, "from"), instant(request, "to")
    return answer((await queries.audit_entries(api_of(request).database, wanted, span, page(request))).body())


async def verify(request: web.Request) -> web.Response:
    """Read the whole trail, and say whether it is as it was written; `fault` names the first entry that is not."""
    only(request, ())
    api = api_of(request)
    known = await queries.latest_seal(api.database)
    check = Check(api.vault.derived(PURPOSE))
    try:
        async with asyncio.timeout(_READ_S):
            await _read(api, check)
    except TimeoutError:
        raise unavailable(f"{check.entries} entries were read in {_READ_S:g} s, which are not all; try again") from None
    check.end(known)
    return answer({"whole": not check.fault, "entries": check.entries, "fault": check.fault or None})


async def _read(api: Api, check: Check) -> None:
    arguments: dict[str, Any] = {**consumer_arguments(api.context.connection), "fetch_max_wait_ms": _FETCH_MS}
    consumer = AIOKafkaConsumer(**arguments)
    partition = TopicPartition(api.context.topics.audit, 0)
    async with started(consumer, api.context.connection.bootstrap_servers):
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        ends = await consumer.end_offsets([partition])
        async for record in read_to(consumer, ends, _FETCH_MS):
            check.take(record.offset, record.value)
