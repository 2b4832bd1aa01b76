"""Errors as RFC 9457 `application/problem+json`, with a list of fields where fields are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from tocsin.schemas.problems import FieldError

CONTENT_TYPE = "application/problem+json"
_LATER: Final = {"Retry-After": "2"}


class Problem(Exception):
    """Ends a request. `detail` is one line that says what is wrong and how to mend it."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """The answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [{"field": one.field, "message": one.message} for one in self.errors]
        return web.Response(
            body=orjson.dumps(body), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )


class Written(Problem):
    """What was asked for is in force, and cannot be read yet."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, detail, headers=_LATER)


def invalid(errors: Iterable[FieldError], status: int = 422) -> Problem:
    """Fields that are wrong."""
    found = tuple(errors)
    return Problem(status, "; ".join(map(str, found)), found)


def bad_parameter(name: str, message: str) -> Problem:
    """A query parameter that is wrong."""
    return invalid([FieldError(name, message)], 400)


def not_found(what: str, identity: str) -> Problem:
    """There is no such thing."""
    return Problem(404, f"there is no {what} {identity!r}")


def unavailable(detail: str) -> Problem:
    """Something that is needed does not answer now."""
    return Problem(503, detail, headers=_LATER)
