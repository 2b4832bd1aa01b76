"""Logs of a service: structlog, and the standard library's loggers through the same chain, on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from tocsin.schemas.settings import LogSettings
from tocsin.terminal import escape

# At `info` these say what only their own authors need.
_CHATTY = (
    "aiokafka", "aiohttp.access", "faust", "mode", "tocsin.agents.transport",
    "alembic", "sqlalchemy", "aiosqlite", "asyncio", "slack_sdk",
)  # fmt: skip


def is_json(settings: LogSettings, stream: TextIO) -> bool:
    """Whether lines are JSON: as set, and by default wherever no person watches."""
    return settings.format == "json" or (settings.format == "auto" and not stream.isatty())


def configure(settings: LogSettings, service: str, stream: TextIO | None = None) -> None:
    """Sets up this process's logs; every line names the service. Call once, before the first line."""
    out = stream or sys.stderr
    level = getattr(logging, settings.level.upper())
    as_json = is_json(settings, out)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(as_json, out)],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)


def _named(service: str) -> Processor:
    def name(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return name


def _rendering(as_json: bool, out: TextIO) -> Sequence[Processor]:
    if as_json:
        return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False))
    return (_escaped, structlog.dev.ConsoleRenderer(colors=out.isatty()))


def _escaped(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A label or an answer from outside must not write lines of its own."""
    for key, value in event.items():
        if key not in ("exc_info", "exception"):
            event[key] = escape(value) if isinstance(value, str) else value
    return event
