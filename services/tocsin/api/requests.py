"""Reading requests: JSON bodies, query parameters, preconditions."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from tocsin.api.problems import Problem, bad_parameter, invalid
from tocsin.projection.queries import AlertFilter, Page
from tocsin.schemas.duration import milliseconds
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.problems import field_errors

MAX_LIMIT = 500
_DEFAULT_LIMIT = 100
_LABEL = "label."
_FIELDS = ("severity", "status", "rule_id", "category")
_PAGE = ("limit", "cursor")
_Model = TypeVar("_Model", bound=BaseModel)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; an empty one is an empty object."""
    text = await request.read()
    if not text.strip():
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(found, dict):
        raise Problem(400, "the body must be a JSON object, such as {...}")
    return found


def validated(model: type[_Model], value: Any) -> _Model:
    """The value as a model, or every mistake in it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(field_errors(error, model)) from None


def page(request: web.Request) -> Page:
    """`limit` and `cursor`."""
    text = request.query.get("limit", str(_DEFAULT_LIMIT))
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
        raise bad_parameter("limit", f"{text!r} is not a whole number from 1 to {MAX_LIMIT}")
    return Page(int(text), request.query.get("cursor"))


def alert_filter(request: web.Request, *more: str) -> AlertFilter:
    """The filters of alerts; `more` are further parameters that are known."""
    only(request, (*_FIELDS, "q", *_PAGE, *more), prefix=_LABEL)
    return AlertFilter(
        fields=fields(request, _FIELDS),
        labels={name[len(_LABEL) :]: value for name, value in request.query.items() if name.startswith(_LABEL)},
        text=request.query.get("q", ""),
        from_ms=instant(request, "from"),
        to_ms=instant(request, "to"),
    )


def fields(request: web.Request, names: Collection[str]) -> dict[str, list[str]]:
    """Parameters that may be repeated, or hold several values with commas."""
    return {
        name: [part.strip() for value in request.query.getall(name) for part in value.split(",") if part.strip()]
        for name in names
        if name in request.query
    }


def only(request: web.Request, known: Collection[str], prefix: str = "\x00") -> None:
    """Refuse parameters that are not known."""
    for name in request.query:
        if name not in known and not name.startswith(prefix):
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
            raise bad_parameter(name, f"is not a known parameter; {mend}")


def instant(request: web.Request, name: str) -> int | None:
    """A time as epoch milliseconds or RFC 3339."""
    text = request.query.get(name)
    if text is None:
        return None
    if text.isdecimal() and len(text) <= 15:
        return int(text)
    try:
        return parse_instant(text.replace(" ", "+"))  # a plus that was not escaped
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None


def duration_ms(request: web.Request, name: str, default: str) -> int:
    """A length of time such as 1h."""
    try:
        return milliseconds(request.query.get(name, default))
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None


def check_precondition(request: web.Request, revision: int | None) -> None:
    """`If-Match` and `If-None-Match: *` against what is there now."""
    wanted = request.headers.get("If-Match")
    if wanted is not None and (revision is None or wanted.strip() not in ("*", etag(revision))):
        now = etag(revision) if revision is not None else "nothing"
        raise Problem(412, f"If-Match: {wanted} is not what is there now ({now}); read it again")
    if request.headers.get("If-None-Match") == "*" and revision is not None:
        raise Problem(412, f"If-None-Match: it exists already, as {etag(revision)}")


def etag(revision: int) -> str:
    """A revision as an entity tag."""
    return f'"{revision}"'
