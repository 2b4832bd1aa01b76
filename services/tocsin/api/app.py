"""The web application: routes, who may ask, how errors are answered, and the first page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from tocsin.api import auditing, events, health, permitted
from tocsin.api.acts import ACTOR
from tocsin.api.connections import connection_of
from tocsin.api.feed import Feed
from tocsin.api.hosts import Hosts
from tocsin.api.openapi import docs_page, document
from tocsin.api.problems import Problem, Written, bad_parameter, unavailable
from tocsin.api.routes import OPEN, PREFIX, READING, ROUTES
from tocsin.api.state import API, Api, answer
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.projection.queries import BadCursor, OtherVersion

_MAX_BODY = 2**20
_REQUEST_S = 60.0
_NUL = "\x00"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_ASSETS = {
    "index.html": "text/html",
    "app.js": "text/javascript",
    "rule.js": "text/javascript",
    "alert.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_HOSTS = web.AppKey("hosts", Hosts)
log = structlog.get_logger("tocsin.api")


def make_app(api: Api) -> web.Application:
    """The application of one API process."""
    app = web.Application(
        client_max_size=_MAX_BODY, middlewares=[_measured, _answered, _addressed, _authorised, _recorded]
    )
    app[API] = api
    app[auditing.TRAIL] = auditing.Trail()
    app[events.FEED] = Feed(api.context)
    app.on_shutdown.append(_dismiss_listeners)
    app.on_cleanup.append(_stop_feed)
    app[_HOSTS] = Hosts(api.context.settings.api)
    app[health.CHECKS] = health.Checks()
    for route in ROUTES:
        app.router.add_route(route.method, route.pattern, route.handler)
    for path, handler in OPEN:
        app.router.add_get(path, handler)
    app.router.add_get(permitted.ROUTE, permitted.show)
    app.router.add_post(permitted.ROUTE, permitted.act)
    app.router.add_get(f"{PREFIX}/openapi.json", _openapi)
    app.router.add_get(f"{PREFIX}/docs", _docs)
    app.router.add_get("/", _asset("index.html"))
    for name in _ASSETS:
        app.router.add_get(f"/assets/{name}", _asset(name))
    return app


async def _dismiss_listeners(app: web.Application) -> None:
    app[events.FEED].dismiss()


async def _stop_feed(app: web.Application) -> None:
    await app[events.FEED].stop()


async def _openapi(_request: web.Request) -> web.Response:
    return answer(document())


async def _docs(_request: web.Request) -> web.Response:
    return web.Response(text=docs_page(), content_type="text/html")


def _asset(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = files("tocsin.web").joinpath(name).read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=_ASSETS[name], charset="utf-8")

    return serve


_PUBLIC = frozenset({_openapi, _docs, *(handler for _, handler in OPEN)})


@web.middleware
async def _measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    began, connection = time.perf_counter(), connection_of(request)
    if connection is not None:
        connection.began()
    try:
        response = await handler(request)
    finally:
        if connection is not None:
            connection.over()
    if response.status == HTTPStatus.REQUEST_TIMEOUT:
        response.force_close()  # what is left of the body would be read as the next request
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "none"
    metrics = request.app[API].metrics
    metrics.requests.labels(request.method, route, str(response.status)).inc()
    metrics.latency.labels(route).observe(time.perf_counter() - began)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _place(request: web.Request) -> str:
    """The path for the log; of a link that acts its form only, since who has all of it may use it."""
    resource = request.match_info.route.resource
    return permitted.ROUTE if resource is not None and resource.canonical == permitted.ROUTE else request.path


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every way to fail becomes a problem document."""
    try:
        async with asyncio.timeout(None if request.match_info.handler is events.stream else _REQUEST_S):
            return await handler(request)
    except Problem as problem:
        return problem.response()
    except (BadCursor, OtherVersion) as error:
        return _refusal(error).response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not possible here; {allowed} is"
        return Problem(405, detail, headers={"Allow": allowed}).response()
    except web.HTTPRequestEntityTooLarge:
        return Problem(413, f"the body is larger than {_MAX_BODY} bytes").response()
    except web.HTTPNotFound:
        return Problem(404, f"there is nothing at {request.path}; see {PREFIX}/docs").response()
    except web.HTTPException as error:
        return Problem(error.status, error.reason or "refused").response()
    except TimeoutError:
        return unavailable("this took too long; try again").response()
    except (SQLAlchemyError, KafkaUnreachable, KafkaError, OSError) as error:
        # asyncpg says with an OSError that nobody listens.
        what = "Kafka" if isinstance(error, KafkaUnreachable | KafkaError) else "the database"
        log.warning("what a request needs does not answer", path=_place(request), what=what, error=_first_line(error))
        return unavailable(f"{what} does not answer ({type(error).__name__}); try again").response()
    except Exception as error:
        log.exception("a request failed", method=request.method, path=_place(request), error=type(error).__name__)
        return Problem(500, "this failed inside tocsin; its log says why").response()


def _refusal(error: BadCursor | OtherVersion) -> Problem:
    if isinstance(error, OtherVersion):
        return Problem(409, str(error))
    return bad_parameter("cursor", "no list gave this one; start without it")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


@web.middleware
async def _addressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is meant for somebody else, and what no id and no text of ours can hold."""
    if not request.app[_HOSTS].accept(request.headers.get("Host")):
        detail = "Host: this name is not served here; use an address, or add the name to api.allowed_hosts"
        return Problem(421, detail).response()
    if _NUL in request.path:
        return Problem(400, "the path has a NUL character; leave it out").response()
    for name, value in request.query.items():
        if _NUL in name or _NUL in value:
            return bad_parameter(name.replace(_NUL, ""), "has a NUL character; leave it out").response()
    return await handler(request)


@web.middleware
async def _authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
    """By the route that was found, never by the text of the path, which may be written in many ways."""
    resource = request.match_info.route.resource
    guarded = resource is not None and resource.canonical.startswith(PREFIX)
    guarded = guarded or (resource is None and request.path.startswith("/api"))
    is_guarded = guarded and request.match_info.handler not in _PUBLIC
    if is_guarded and not request.app[API].token.accepts(request.headers.get("Authorization", "")):
        headers = {"WWW-Authenticate": 'Bearer realm="tocsin"'}
        detail = "send `Authorization: Bearer TOKEN` with a token that is known"
        return Problem(401, detail, headers=headers).response()
    return await handler(request)


@web.middleware
async def _recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except Written as written:
        await auditing.record(request, written.response(), ACTOR, PREFIX)
        raise
    if request.match_info.handler not in READING and 200 <= response.status < 300:
        await auditing.record(request, response, ACTOR, PREFIX)
    return response
