"""What was over long ago is removed: silences, lest every worker reads them for ever, and incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from tocsin.agents.clock import clock_ms
from tocsin.api import incidents, silences
from tocsin.api.problems import Problem
from tocsin.api.state import Api
from tocsin.projection.queries import Document, documents, one_document
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.silence import Silence

KEPT_MS: Final = 5 * 86_400_000  # as long as Alertmanager keeps silences
INCIDENTS_KEPT_MS: Final = 90 * 86_400_000
_EVERY_S: Final = 3_600.0
_log = structlog.get_logger("tocsin.api.clearing")


async def clear_for_ever(api: Api) -> None:
    """Look every hour; what does not answer now is asked again then."""
    await api.projector.caught_up.wait()
    while True:
        try:
            await clear(api, clock_ms())
        except (Problem, SQLAlchemyError, KafkaError, OSError, TimeoutError) as error:
            _log.warning("what is over long ago is looked at again later", error=str(error) or type(error).__name__)
        await asyncio.sleep(_EVERY_S)


async def clear(api: Api, now_ms: int) -> None:
    """Remove what is over for so long. That cannot be changed any more, so another process may do the same at once."""
    topics = api.context.topics
    await _clear(api, silences.KIND, topics.silences, lambda entry: _is_old_silence(entry, now_ms))
    await _clear(api, incidents.KIND, topics.incidents, lambda entry: _is_old_incident(entry, now_ms))


async def _clear(api: Api, kind: str, topic: str, is_old: Callable[[Document], bool]) -> None:
    for entry in await documents(api.database, kind):
        if not is_old(entry):
            continue
        async with api.changing(topic, entry.id):
            latest = await one_document(api.database, kind, entry.id)
            if latest is not None and is_old(latest):
                await api.write(topic, entry.id, None)


def _is_old_silence(entry: Document, now_ms: int) -> bool:
    silence = entry.read(Silence)  # what another version wrote is its own to remove
    return silence is not None and not silence.windows(now_ms - KEPT_MS)


def _is_old_incident(entry: Document, now_ms: int) -> bool:
    body = entry.body
    return body["ended_at"] is not None and parse_instant(body["ended_at"]) <= now_ms - INCIDENTS_KEPT_MS
