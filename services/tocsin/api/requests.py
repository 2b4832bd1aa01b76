"""Reading requests: JSON bodies, query parameters, preconditions."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, get_args

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from tocsin.api.problems import Problem, bad_parameter, invalid
from tocsin.projection.queries import AlertFilter, Page
from tocsin.schemas.alert import AlertStatus
from tocsin.schemas.duration import milliseconds
from tocsin.schemas.instant import MAX_MS, parse_instant
from tocsin.schemas.problems import field_errors
from tocsin.schemas.rule import Severity

BODY_S = 30.0
MAX_LIMIT = 500
_MAX_DIGITS = 15
_MAX_SHOWN = 60
_YEAR_MS = 366 * 86_400_000
_DEFAULT_LIMIT = 100
_LABEL = "label."
_FIELDS = ("rule_id", "category")
_STATUSES: tuple[str, ...] = get_args(AlertStatus)
_PAGE = ("limit", "cursor")
_Model = TypeVar("_Model", bound=BaseModel)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; an empty one is an empty object."""
    try:
        async with asyncio.timeout(BODY_S):
            text = await request.read()
    except TimeoutError:
        raise Problem(408, f"the body was not here within {BODY_S:g} s; send it again") from None
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
    if not _is_count(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise bad_parameter("limit", f"{_shown(text)} is not a whole number from 1 to {MAX_LIMIT}")
    return Page(int(text), request.query.get("cursor"))


def alert_filter(request: web.Request, *more: str) -> AlertFilter:
    """The filters of alerts; `more` are further parameters that are known."""
    only(request, (*_FIELDS, "severity", "status", "q", *_PAGE, *more), prefix=_LABEL)
    return AlertFilter(
        fields=fields(request, _FIELDS) | known(request, {"severity": tuple(Severity), "status": _STATUSES}),
        labels={name[len(_LABEL) :]: value for name, value in request.query.items() if name.startswith(_LABEL)},
        text=request.query.get("q", ""),
        from_ms=instant(request, "from"),
        to_ms=instant(request, "to"),
    )


def fields(request: web.Request, names: Collection[str]) -> dict[str, list[str]]:
    """Parameters that may be repeated, or hold several values with commas. Raises Problem for one without a value."""
    found = {name: _values(request, name) for name in names if name in request.query}
    for name, values in found.items():
        if not values:
            raise bad_parameter(name, "is empty; give it a value, or leave it out")
    return found


def known(request: web.Request, choices: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """As `fields`, for parameters that take only some values, in any case. Raises Problem that names these."""
    found: dict[str, list[str]] = {}
    for name, allowed in choices.items():
        if name not in request.query:
            continue
        found[name] = [value.lower() for value in _values(request, name)]
        wrong = [value for value in found[name] if value not in allowed]
        if wrong or not found[name]:
            said = _shown(wrong[0]) if wrong else "an empty value"
            raise bad_parameter(name, f"{said} is not one of {', '.join(allowed)}")
    return found


def flag(request: web.Request, name: str) -> bool | None:
    """A parameter that is `true` or `false`; None where it is not given, or both."""
    values = set(known(request, {name: ("true", "false")}).get(name, ()))
    return "true" in values if len(values) == 1 else None


def _values(request: web.Request, name: str) -> list[str]:
    return [part.strip() for value in request.query.getall(name) for part in value.split(",") if part.strip()]


def only(request: web.Request, known: Collection[str], prefix: str = "\x00") -> None:
    """Refuse parameters that are not known."""
    for name in request.query:
        if name not in known and not name.startswith(prefix):
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
            raise bad_parameter(name, f"is not a known parameter; {mend}")


def instant(request: web.Request, name: str) -> int | None:
    """A time from 1970 on, as epoch milliseconds or RFC 3339."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        # A plus that was not escaped came as a space.
        at_ms = int(text) if _is_count(text) else parse_instant(text[:_MAX_SHOWN].replace(" ", "+"))
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None
    if not 0 <= at_ms <= MAX_MS:
        raise bad_parameter(name, f"{_shown(text)} lies outside the years 1970 to 9999")
    return at_ms


def duration_ms(request: web.Request, name: str, default: str) -> int:
    """A length of time such as 1h, at most a year."""
    text = request.query.get(name, default)
    try:
        found = milliseconds(text[:_MAX_SHOWN])
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None
    if found > _YEAR_MS:
        raise bad_parameter(name, f"{_shown(text)} is longer than a year")
    return found


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...")


def check_precondition(request: web.Request, revision: int | None) -> None:
    """`If-Match` and `If-None-Match` against what is there now.

    Either may be `*` or a list. A tag that became weak on its way (`W/`, as proxies that compress make it) counts: it
    names a revision all the same.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _names(wanted, revision):
        now = etag(revision) if revision is not None else "nothing"
        raise Problem(412, f"If-Match: {_shown(wanted)} is not what is there now ({now}); read it again")
    unwanted = request.headers.get("If-None-Match")
    if unwanted is not None and revision is not None and _names(unwanted, revision):
        raise Problem(412, f"If-None-Match: it exists already, as {etag(revision)}")


def _names(condition: str, revision: int | None) -> bool:
    if revision is None:
        return False
    tags = re.findall(r'(?:W/)?("[^"]*")', condition)
    return condition.strip() == "*" or etag(revision) in tags


def etag(revision: int) -> str:
    """A revision as an entity tag."""
    return f'"{revision}"'


def merged(before: Any, change: Any) -> Any:
    """A document after a JSON merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    found = dict(before) if isinstance(before, dict) else {}
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found
