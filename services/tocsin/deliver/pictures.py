"""Charts for messages: made when there is time for them, and left out when there is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np
import structlog

from tocsin.charts import alert_chart, as_svg, chart_span
from tocsin.charts.model import Floats, Ints
from tocsin.deliver import metrics
from tocsin.deliver.drawing import Drawing
from tocsin.deliver.history import Wanted
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Notification

# A message waits this long for its chart at most, and while so many others wait, none is made.
_WITHIN_S: Final = 1.5
_MOST_WAITING: Final = 4
_REMEMBERED: Final = 64
_FEWEST: Final = 2
_SHOWN: Final = frozenset({"firing", "changed", "escalated", "reminded", "resolved"})
Read = Callable[[Wanted], Awaitable[tuple[Ints, Floats, int]]]
log = structlog.get_logger("tocsin.deliver.pictures")


class Pictures:
    """PNGs of what alerts are about; the same for every channel that tells of the same event."""

    def __init__(self, read: Read, drawing: Drawing) -> None:
        self._read = read
        self._drawing = drawing
        self._one = asyncio.Lock()
        self._waiting = 0
        self._made: dict[str, bytes | None] = {}

    async def of(self, notification: Notification) -> bytes | None:
        """The chart of a notification's alert; None where there is nothing to show, or no time for it."""
        event = notification.event
        if event.id in self._made:
            return self._made[event.id]
        if event.type not in _SHOWN or self._waiting >= _MOST_WAITING:
            return None
        if not notification.test and not (event.evidence or {}).get("metric"):
            return None
        self._waiting += 1
        try:
            async with asyncio.timeout(_WITHIN_S), self._one:
                return await self._remembered(notification)
        except Exception as error:  # noqa: BLE001 - at this edge everything counts
            # Whatever is wrong with a picture, the message itself must go.
            metrics.CHARTS.labels("left out").inc()
            log.info("a message goes without its chart", fingerprint=event.fingerprint, reason=type(error).__name__)
            return None
        finally:
            self._waiting -= 1

    async def _remembered(self, notification: Notification) -> bytes | None:
        event = notification.event
        if event.id not in self._made:
            self._made[event.id] = await self._drawn(notification)
            while len(self._made) > _REMEMBERED:
                del self._made[next(iter(self._made))]
        return self._made[event.id]

    async def _drawn(self, notification: Notification) -> bytes | None:
        event = notification.event
        at_ms, values, series = _example(event) if notification.test else await self._read(wanted_of(event))
        if len(at_ms) < _FEWEST:
            return None
        metrics.CHARTS.labels("drawn").inc()
        return await self._drawing.png(as_svg(alert_chart(event, at_ms, values, series)))


def wanted_of(event: AlertEvent) -> Wanted:
    """Which samples show what an alert is about."""
    begin_ms, end_ms = chart_span(event)
    return Wanted(str((event.evidence or {}).get("metric", "")), event.labels, begin_ms, end_ms)


def _example(event: AlertEvent) -> tuple[Ints, Floats, int]:
    """A curve for a test of the channel."""
    end_ms = parse_instant(event.updated_at)
    at_ms = np.arange(end_ms - 900_000, end_ms + 1, 15_000, dtype=np.int64)
    return at_ms, (np.sin(np.linspace(0, 12, len(at_ms))) * 0.4 + np.linspace(-1.2, 1, len(at_ms))), 1
