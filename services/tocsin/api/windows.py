"""When silences are in force, and will be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.calendars import TYPE, Event, calendar
from tocsin.api.problems import bad_parameter
from tocsin.api.requests import instant, only
from tocsin.api.silences import KIND
from tocsin.api.state import answer, api_of
from tocsin.projection.queries import Document, documents
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.silence import MAX_MS, Silence, Window

_DEFAULT_MS: Final = 30 * 86_400_000
_MOST_OF_ONE: Final = 1_000
_MOST: Final = 5_000
Planned = tuple[Window, Silence]


async def list_(request: web.Request) -> web.Response:
    """The windows of all silences that are not over at `from` (now) and begin before `to` (30 days later), in order."""
    found = await _planned(request)
    items = [_item(window, silence) for window, silence in found[:_MOST]]
    return answer({"items": items, "next_cursor": None, "total": len(found)})


async def file(request: web.Request) -> web.Response:
    """The same as iCalendar."""
    found = await _planned(request)
    content = await asyncio.to_thread(_drawn, found[:_MOST])
    headers = {"Content-Disposition": 'inline; filename="silences.ics"'}
    return web.Response(body=content, content_type=TYPE, charset="utf-8", headers=headers)


def _drawn(found: Sequence[Planned]) -> bytes:
    return calendar("silences", [_event(window, silence) for window, silence in found], clock_ms())


async def _planned(request: web.Request) -> list[Planned]:
    only(request, ("from", "to"))
    from_ms, to_ms = instant(request, "from"), instant(request, "to")
    begin_ms = clock_ms() if from_ms is None else from_ms
    end_ms = begin_ms + _DEFAULT_MS if to_ms is None else to_ms
    if not begin_ms < end_ms <= begin_ms + MAX_MS:
        raise bad_parameter("to", "must lie after from, and at most a year after it")
    stored = await documents(api_of(request).database, KIND)
    # A thread: hundreds of windows that come again take long enough to hold up other requests.
    return await asyncio.to_thread(_between, stored, begin_ms, end_ms)


def _between(stored: Sequence[Document], begin_ms: int, end_ms: int) -> list[Planned]:
    silences = list(filter(None, (entry.read(Silence) for entry in stored)))
    found = [(window, one) for one in silences for window in one.windows(begin_ms, _MOST_OF_ONE, end_ms)]
    return sorted(found, key=lambda planned: (planned[0], planned[1].id))


def _event(window: Window, silence: Silence) -> Event:
    matchers = ", ".join(map(str, silence.match))
    said = f"{silence.created_by}: {silence.comment}".strip(": ")
    return Event(stable_id("silence", silence.id, window[0]), *window, f"silence: {matchers}", said)


def _item(window: Window, silence: Silence) -> dict[str, Any]:
    begin, end = map(format_instant, window)
    shown = silence.document()
    return {
        "begin": begin, "end": end, "silence": silence.id,
        **{name: shown[name] for name in ("match", "created_by", "comment")},
    }  # fmt: skip
