"""Figures, and the settings in force."""

from __future__ import annotations

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.problems import bad_parameter
from tocsin.api.requests import duration_ms, instant, only
from tocsin.api.state import answer, api_of
from tocsin.projection.statistics import Span, statistics

_MAX_BUCKETS = 1_000
_DAY_MS = 86_400_000


async def figures(request: web.Request) -> web.Response:
    """Counts by status, severity, rule, channel and time bucket; MTTA and MTTR; delivery success and latency."""
    only(request, ("from", "to", "bucket"))
    from_ms, to_ms = instant(request, "from"), instant(request, "to")
    to_ms = clock_ms() if to_ms is None else to_ms
    from_ms = max(0, to_ms - _DAY_MS) if from_ms is None else from_ms
    if from_ms >= to_ms:
        raise bad_parameter("from", "must be before `to`")
    bucket_ms = duration_ms(request, "bucket", "1h")
    if bucket_ms <= 0 or (to_ms - from_ms) / bucket_ms > _MAX_BUCKETS:
        raise bad_parameter("bucket", f"gives more than {_MAX_BUCKETS} buckets; make it longer")
    return answer(await statistics(api_of(request).database, Span(from_ms, to_ms, bucket_ms)))


async def configuration(request: web.Request) -> web.Response:
    """The settings in force, secrets masked."""
    only(request, ())
    context = api_of(request).context
    shown = context.settings.model_dump(mode="json")
    shown["data_dir"] = str(context.data_dir)
    shown["kafka"]["bootstrap_servers"] = context.connection.bootstrap_servers
    return answer(shown)
