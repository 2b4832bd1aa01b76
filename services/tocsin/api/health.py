"""Liveness, readiness by component, and metrics: open to all, so that probes need no token."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from tocsin.api.mending import KINDS
from tocsin.api.metrics import CONTENT_TYPE
from tocsin.api.problems import bad_parameter
from tocsin.api.requests import only
from tocsin.api.state import Api, answer, api_of
from tocsin.kafka.admin import group_states
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.projection.queries import documents, unreadable_documents
from tocsin.projection.statistics import active_counts, refused_series
from tocsin.schemas.topics import CHANNEL_TYPES

_CHECK_S = 3.0
_FRESH_S = 1.0
_LAG_RECORDS = 10_000
_DELIVER = "deliver."
_UNUSED = {"ready": True, "members": 0, "detail": "no channel is of this type; the first one starts it"}
log = structlog.get_logger("tocsin.api.health")


@dataclass(slots=True)
class Checks:
    """The last answer, so that many probes cost no more than one."""

    at_s: float = -_FRESH_S
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


CHECKS = web.AppKey("checks", Checks)


async def healthz(_request: web.Request) -> web.Response:
    """Whether this process answers."""
    return answer({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Whether everything works, component by component; `?only=api` asks for this process alone."""
    only(request, ("only",))
    if request.query.get("only", "api") != "api":
        raise bad_parameter("only", f"{request.query['only']!r} is not known; there is api")
    components = await _components(api_of(request), request.app[CHECKS])
    if "only" in request.query:
        components = {name: state for name, state in components.items() if name in ("database", "kafka", "projection")}
    ready = all(state["ready"] for state in components.values())
    body = {"status": "ready" if ready else "not ready", "components": components}
    return answer(body, 200 if ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus metrics of this process and of the projection; without those of a database that does not answer."""
    api = api_of(request)
    for topic, lag in api.projector.lag().items():
        api.metrics.lag.labels(topic).set(lag)
    try:
        async with asyncio.timeout(_CHECK_S):
            counts = await active_counts(api.database)
            refused = await refused_series(api.database)
            for kind in KINDS:
                api.metrics.unreadable.labels(kind).set(len(await unreadable_documents(api.database, kind)))
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("metrics without alerts: the database does not answer", error=type(error).__name__)
        counts, refused = {}, {}
    api.metrics.alerts.clear()
    for (status, severity), count in counts.items():
        api.metrics.alerts.labels(status, severity).set(count)
    api.metrics.refused_series.clear()
    for limit, number in refused.items():
        api.metrics.refused_series.labels(*limit).set(number)
    for topic, count in api.projector.passed_over.items():
        api.metrics.passed_over.labels(topic).set(count)
    return web.Response(body=api.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _components(api: Api, checks: Checks) -> dict[str, dict[str, Any]]:
    async with checks.lock:
        if time.monotonic() - checks.at_s >= _FRESH_S:
            database, groups, used = await asyncio.gather(_database(api), _groups(api), _used_types(api))
            groups |= {name: _UNUSED for name, found in groups.items() if _is_unused(name, found, used)}
            checks.components = {"database": database, **groups, "projection": _projection(api)}
            checks.at_s = time.monotonic()
        return checks.components


async def _database(api: Api) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_CHECK_S):
            await active_counts(api.database)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        return {"ready": False, "detail": f"the database does not answer: {type(error).__name__}"}
    return {"ready": True}


def _projection(api: Api) -> dict[str, Any]:
    lag = sum(api.projector.lag().values())
    if api.following.done():
        return {"ready": False, "lag": lag, "detail": "it ended, so nothing new is read; see the log, and start again"}
    if api.projector.problem:
        return {"ready": False, "lag": lag, "detail": api.projector.problem}
    if not api.projector.caught_up.is_set() or lag > _LAG_RECORDS:
        return {"ready": False, "lag": lag, "detail": "still reading what is on the topics"}
    return {"ready": True, "lag": lag}


def _is_unused(service: str, found: dict[str, Any], used: set[str]) -> bool:
    return service.startswith(_DELIVER) and service not in used and found.get("members") == 0


async def _used_types(api: Api) -> set[str]:
    """The delivery services that have a channel to deliver to; all of them where that cannot be known."""
    try:
        async with asyncio.timeout(_CHECK_S):
            found = await documents(api.database, "channels")
    except (SQLAlchemyError, OSError, TimeoutError):
        return {f"{_DELIVER}{kind}" for kind in CHANNEL_TYPES}
    return {f"{_DELIVER}{one.body['type']}" for one in found}


async def _groups(api: Api) -> dict[str, dict[str, Any]]:
    """Kafka, and each service, by whether its consumer group has members that work."""
    services = ("evaluate", "route", *(f"{_DELIVER}{kind}" for kind in CHANNEL_TYPES))
    names = {api.context.group(service): service for service in services}
    try:
        states = await group_states(api.context.connection, list(names), _CHECK_S)
    except KafkaUnreachable as error:
        unknown = {"ready": False, "detail": "unknown: Kafka does not answer"}
        return {"kafka": {"ready": False, "detail": str(error)}, **dict.fromkeys(services, unknown)}
    found: dict[str, dict[str, Any]] = {"kafka": {"ready": True}}
    for group, service in names.items():
        state, members = states.get(group, ("", 0))
        ready = state == "Stable" and members > 0
        found[service] = {"ready": ready, "members": members}
        if not ready:
            found[service]["detail"] = "is joining" if members else f"does not run; `tocsin {service.split('.')[0]}`"
    return found
