"""The API as the command line sees it: one request, its answer, and every failure in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import aiohttp

from tocsin.cli.failures import ExitCode, Failure, NotFound, wrong_usage
from tocsin.config import Loaded, context, load
from tocsin.supervisor.running import find_up

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_MAX_ANSWER_BYTES: Final = 64 * 2**20
_PAGE: Final = 500
_GATEWAY: Final = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said: the status, the JSON body (None for an empty one), and the entity tag."""

    status: int
    body: Any
    etag: str | None = None


class ApiClient:
    """A session with one API, for `async with`. Every method raises Failure for an answer that is none."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        # A redirect would carry the token elsewhere, and a proxy of the environment is not meant for a local API.
        self._session = aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None, "the client was not entered"
        await self._session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The body of one GET: an object."""
        return (await self.content("GET", path, params=params)).body

    async def content(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """As `send`, for requests whose answer is an object."""
        answer = await self.send(method, path, body, params=params, headers=headers)
        if answer.body is None:
            raise self._stranger(f"it gave status {answer.status} and no content")
        return answer

    async def items(self, path: str, params: Mapping[str, str] | None = None, limit: int | None = None) -> list[Any]:
        """All entries of a list, page by page, or the first `limit`."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = {**(params or {}), "limit": str(min(_PAGE, limit - len(found)) if limit else _PAGE)}
            body = await self.get(path, {**page, "cursor": cursor} if cursor else page)
            items = body.get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise self._stranger("a list was asked for, and it gave none")
            found += items
            cursor = body.get("next_cursor")
            if not cursor or (limit and len(found) >= limit):
                return found[:limit] if limit else found

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request below `/api/v1`."""
        content, answer = await self._exchanged(method, path, body, params, headers)
        if content and not isinstance(answer.body, dict):
            raise self._stranger(f"it gave status {answer.status}, and no JSON object with it")
        return answer

    async def text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """What one GET gives that is no JSON."""
        content, _ = await self._exchanged("GET", path, None, params, None)
        return content.decode("utf-8", "replace")

    async def _exchanged(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[bytes, Answer]:
        assert self._session is not None, "the client was not entered"
        try:
            async with self._session.request(
                method, f"{self._url}/api/v1{path}", json=body, params=params, headers=headers, allow_redirects=False
            ) as response:
                content = await self._content(response)
                answer = Answer(response.status, _json(content), response.headers.get("ETag"))
        except TimeoutError:
            raise self._unreachable("no answer in time") from None
        except aiohttp.InvalidURL:
            wrong_usage(_no_address(self._url))
        except aiohttp.ClientError as error:
            raise self._unreachable(_reason(error)) from None
        if not 200 <= answer.status < 300:
            raise self._refused(answer)
        return content, answer

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body; one read gives only what has arrived so far."""
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > _MAX_ANSWER_BYTES:
                raise self._stranger(f"it answers with over {_MAX_ANSWER_BYTES // 2**20} MiB")
        return bytes(content)

    def _stranger(self, reason: str) -> Failure:
        mend = "name the API's address with --url, TOCSIN_API_HOST or TOCSIN_API_PORT"
        return Failure(f"what answers at {self._url} is not tocsin's API ({reason}): {mend}", code=ExitCode.UNREACHABLE)

    def _unreachable(self, reason: str) -> Failure:
        mend = "start it with `tocsin up`, or name another with --url, TOCSIN_API_HOST or TOCSIN_API_PORT"
        return Failure(f"the API at {self._url} cannot be reached ({reason}): {mend}", code=ExitCode.UNREACHABLE)

    def _refused(self, answer: Answer) -> Failure:
        if answer.status == 401:
            mend = "set TOCSIN_API_TOKEN, or TOCSIN_DATA_DIR to where its `api.token` lies"
            return Failure(f"the API at {self._url} does not accept this token: {mend}")
        if answer.status in _GATEWAY and not isinstance(answer.body, dict):
            return self._unreachable(f"a proxy gave status {answer.status}")
        if not isinstance(answer.body, dict):
            return self._stranger(f"it gave status {answer.status}, and no JSON object with it")
        problem = answer.body
        errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
        lines = [f"{error.get('field', '')}: {error.get('message', '')}".removeprefix(": ") for error in errors]
        if not lines:
            text = problem.get("detail") or problem.get("title") or f"the API answered with status {answer.status}"
            lines = [str(text)]
        if answer.status == 404:
            return NotFound(*lines)
        return Failure(*lines, code=ExitCode.UNREACHABLE if answer.status in _GATEWAY else ExitCode.NO)


def connect(config_file: Path | None, url: str | None) -> ApiClient:
    """A client for the address and the token that options, settings and a running `tocsin up` give."""
    loaded = load(config_file, os.environ)
    return ApiClient(address(loaded, url), token(loaded))


def address(loaded: Loaded, url: str | None = None) -> str:
    """The API's address: as given with --url, as set, that of the `tocsin up` on the data directory, or the default.

    Ends the command when what was given is no address.
    """
    if url is not None:
        return _checked(url)
    api = loaded.settings.api
    if loaded.is_default("api.port") and loaded.is_default("api.host"):
        running = find_up(context(loaded).data_dir)
        if running:
            return running.api_url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.host, api.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{api.port}"


def token(loaded: Loaded) -> str | None:
    """The token as set, else the one that a local API made; None when there is neither."""
    if loaded.settings.api.token:
        given, where = loaded.settings.api.token.get_secret_value(), loaded.where("api.token")
    else:
        path = context(loaded).data_dir / "api.token"
        try:
            given, where = path.read_text("utf-8", "replace").strip(), str(path)
        except OSError:
            return None
    if not given.isprintable():
        wrong_usage(f"{where}: has characters that no token has; give it as the first start of tocsin printed it")
    return given or None


def in_path(text: str) -> str:
    """An id as one segment of a path; ends the command for one that would name something else."""
    if text in ("", ".", ".."):
        wrong_usage(f"ID: {text!r} is not an id; the `list` command beside this one shows all")
    return quote(text, safe="")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment or not url.isprintable() or " " in url:
        wrong_usage(_no_address(url))
    return url


def _no_address(url: str) -> str:
    return f"--url: {url!r} is no address of an API; write http://127.0.0.1:8080"


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "nothing answers there"
    return str(error) or type(error).__name__
