"""Routes: one document on the topic `routes`, in force at once."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.problems import Problem, invalid
from tocsin.api.requests import check_precondition, etag, json_body, merged, only, validated
from tocsin.api.state import answer, api_of
from tocsin.engine.route.lint import lint
from tocsin.engine.route.tree import taken_by
from tocsin.projection.queries import Document, OtherVersion, documents, one_document
from tocsin.schemas.codec import encode_document
from tocsin.schemas.instant import format_instant
from tocsin.schemas.problems import FieldError
from tocsin.schemas.route import ROUTING_ID, Routing

KIND = "routes"
_ADDED = ("revision", "updated_at", "warnings")


class RouteTestBody(BaseModel):
    """The labels of an alert, `alertname` and `severity` among them."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, str] = Field(max_length=64)


async def get(request: web.Request) -> web.Response:
    """The routes in force, with what is doubtful in them."""
    only(request, ())
    found = await _stored(request)
    return answer(await _body(request, found), headers={"ETag": etag(found.revision)})


async def replace(request: web.Request) -> web.Response:
    """Set the routes; alerts that are active are routed anew."""
    only(request, ())
    api, routing = api_of(request), _read(await json_body(request))
    async with api.changing(api.context.topics.routes, ROUTING_ID):
        before = await one_document(api.database, KIND, ROUTING_ID)
        check_precondition(request, before.revision if before else None)
        return await _store(request, routing, 200 if before else 201)


async def patch(request: web.Request) -> web.Response:
    """Change some fields (JSON merge patch, RFC 7386), lists as a whole; null gives a field its default back."""
    only(request, ())
    api, change = api_of(request), await json_body(request)
    async with api.changing(api.context.topics.routes, ROUTING_ID):
        before = await _stored(request)
        check_precondition(request, before.revision)
        return await _store(request, _read(merged(before.body, change)), 200)


async def delete(request: web.Request) -> web.Response:
    """Go back to no routes: only rules that name channels themselves are told."""
    only(request, ())
    api = api_of(request)
    async with api.changing(api.context.topics.routes, ROUTING_ID):
        check_precondition(request, (await _stored(request)).revision)
        await api.write(api.context.topics.routes, ROUTING_ID, None)
    return web.Response(status=204)


async def test(request: web.Request) -> web.Response:
    """Which routes would take an alert with some labels; sends nothing."""
    only(request, ())
    labels = validated(RouteTestBody, await json_body(request)).labels
    routing = (await _stored(request)).parse(Routing)
    return answer({"routes": taken_by(routing, labels)})


def _read(body: dict[str, Any]) -> Routing:
    routing = validated(Routing, {name: value for name, value in body.items() if name not in _ADDED})
    if routing.id != ROUTING_ID:
        raise invalid([FieldError("id", f"must be {ROUTING_ID!r}, or be left out: there is one tree")])
    return routing


async def _store(request: web.Request, routing: Routing, status: int) -> web.Response:
    api = api_of(request)
    await api.write(api.context.topics.routes, ROUTING_ID, encode_document(routing))
    stored = await _stored(request)
    return answer(await _body(request, stored), status, {"ETag": etag(stored.revision)})


async def _stored(request: web.Request) -> Document:
    found = await one_document(api_of(request).database, KIND, ROUTING_ID)
    if found is None:
        raise Problem(404, "there are no routes; set some with PUT, or `tocsin routes apply FILE`")
    return found


async def _body(request: web.Request, found: Document) -> dict[str, Any]:
    added = {"revision": found.revision, "updated_at": format_instant(found.updated_ms)}
    try:
        routing = found.parse(Routing)
    except OtherVersion as error:
        return {**found.body, **added, "warnings": [{"field": "", "message": str(error)}]}
    known = {
        name for one in await documents(api_of(request).database, "channels") for name in (one.id, one.body["type"])
    }
    doubts = [{"field": ".".join(map(str, path)), "message": text} for path, text in lint(routing)]
    named = [(path, node.channels or ()) for path, node in routing.route.walk(("route",))]
    named += [(("correlations", place), one.channels) for place, one in enumerate(routing.correlations)]
    for path, channels in named:
        for place, name in enumerate(channels):
            if name not in known:
                where = ".".join(map(str, (*path, "channels", place)))
                doubts.append({"field": where, "message": f"there is no channel {name!r}; add it"})
    return {**routing.document(), **added, "warnings": doubts}
