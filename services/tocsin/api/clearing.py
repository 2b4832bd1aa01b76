"""Silences that were over long ago are removed, lest every worker reads them for ever."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from tocsin.api.problems import Problem
from tocsin.api.silences import KIND
from tocsin.api.state import Api, clock_ms
from tocsin.projection.queries import documents, one_document
from tocsin.schemas.silence import Silence

KEPT_MS: Final = 5 * 86_400_000  # as long as Alertmanager keeps them
_EVERY_S: Final = 3_600.0
_log = structlog.get_logger("tocsin.api.clearing")


async def clear_for_ever(api: Api) -> None:
    """Look every hour; what does not answer now is asked again then."""
    await api.projector.caught_up.wait()
    while True:
        try:
            await clear(api, clock_ms())
        except (Problem, SQLAlchemyError, KafkaError, OSError, TimeoutError) as error:
            _log.warning("old silences are looked at again later", error=str(error) or type(error).__name__)
        await asyncio.sleep(_EVERY_S)


async def clear(api: Api, now_ms: int) -> None:
    """Remove what is over for so long. What is over cannot be changed, so another process may do the same at once."""
    topic = api.context.topics.silences
    for entry in await documents(api.database, KIND):
        if not _is_old(entry.body, now_ms):
            continue
        async with api.changing(topic, entry.id):
            latest = await one_document(api.database, KIND, entry.id)
            if latest is not None and _is_old(latest.body, now_ms):
                await api.write(topic, entry.id, None)


def _is_old(body: object, now_ms: int) -> bool:
    return not Silence.model_validate(body).windows(now_ms - KEPT_MS)
