"""`GET /events`: alert events as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Final, get_args

from aiohttp import web

from tocsin.api.feed import BadPosition, Feed, Full, Listener, Positions, Told, format_positions, parse_positions
from tocsin.api.problems import bad_parameter, unavailable
from tocsin.api.requests import fields, known, only
from tocsin.schemas.alert import AlertType
from tocsin.schemas.rule import Severity

FEED: Final = web.AppKey("feed", Feed)
TYPE: Final = "text/event-stream"
_ALIVE_S: Final = 15.0
_SEND_S: Final = 10.0
_REPLAY_S: Final = 60.0
_MOST_PASSED: Final = 1_000
_RETRY_MS: Final = 2_000
_TYPES: tuple[str, ...] = get_args(AlertType)
_FULL: Final = "as many listen as can; try again later"
Wanted = Callable[[Told], bool]


async def stream(request: web.Request) -> web.StreamResponse:
    """Alert events as they happen, from now on, or with `Last-Event-ID` all since that one; `severity`, `type` and
    `rule_id` give some of them. Who reads too slowly is told to come back, and loses nothing by that."""
    only(request, ("severity", "type", "rule_id"))
    given = known(request, {"severity": tuple(Severity), "type": _TYPES}) | fields(request, ("rule_id",))
    since = _since(request)
    feed = request.app[FEED]
    async with AsyncExitStack() as stack:
        try:
            listener = await stack.enter_async_context(feed.listening())
        except Full:
            raise unavailable(_FULL) from None
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
        response = web.StreamResponse(headers=headers)
        response.content_type = TYPE
        await response.prepare(request)
        with suppress(ConnectionError, TimeoutError):  # nobody reads any more
            await _Stream(response, lambda told: _fits(told, given)).run(feed, listener, since)
        return response


def _since(request: web.Request) -> Positions | None:
    text = request.headers.get("Last-Event-ID")
    if not text:
        return None
    try:
        return parse_positions(text)
    except BadPosition:
        raise bad_parameter(
            "Last-Event-ID", "no event has this id; leave it out to begin with what comes now"
        ) from None


def _fits(told: Told, given: dict[str, list[str]]) -> bool:
    return all(getattr(told.event, name) in values for name, values in given.items())


class _Stream:
    def __init__(self, response: web.StreamResponse, is_wanted: Wanted) -> None:
        self._response, self._is_wanted = response, is_wanted
        self._positions: Positions = {}
        self._passed = 0  # events left out since a position was said

    async def run(self, feed: Feed, listener: Listener, since: Positions | None) -> None:
        """Send until nobody reads any more, or they read too slowly."""
        end = listener.positions
        # Partitions that were added since then are told from their beginning.
        self._positions = dict(end) if since is None else {number: since.get(number, 0) for number in end}
        await self._say(b"retry: %d\n" % _RETRY_MS)
        if any(place < end[number] for number, place in self._positions.items()):
            # Who takes longer goes on from where they are, behind others who wait.
            async with feed.replay(dict(self._positions), end) as missed, asyncio.timeout(_REPLAY_S):
                async for earlier in missed:
                    await self._tell(earlier)
        self._positions = dict(end)
        while not (listener.is_over and listener.queue.empty()):
            try:
                told = await asyncio.wait_for(listener.queue.get(), _ALIVE_S)
            except TimeoutError:
                await self._say(b": alive\n")
                continue
            if told is not None:
                await self._tell(told)

    async def _tell(self, told: Told) -> None:
        self._positions[told.partition] = told.offset + 1
        if self._is_wanted(told):
            await self._say(told.said)
            return
        self._passed += 1
        if self._passed >= _MOST_PASSED:
            await self._say()

    async def _say(self, lines: bytes = b"") -> None:
        """Never without the position: who wants few events must not begin far behind when they come back."""
        self._passed = 0
        await self._write(b"id: %b\n%b\n" % (format_positions(self._positions).encode(), lines))

    async def _write(self, content: bytes) -> None:
        async with asyncio.timeout(_SEND_S):
            await self._response.write(content)
