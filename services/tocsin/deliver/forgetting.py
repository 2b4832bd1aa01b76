"""What channels said is forgotten when they are deleted: else it would lie on `messages` for ever, since nobody says
the last word."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.deliver.directory import Directory
from tocsin.deliver.journal import Journal
from tocsin.deliver.memory import read_memory
from tocsin.kafka.errors import KafkaUnreachable

_AGAIN_S: Final = 60.0
log = structlog.get_logger("tocsin.deliver.forgetting")


async def forget_deleted(context: Context, directory: Directory, journal: Journal) -> None:
    """At the start, and whenever a channel is deleted, until cancelled. Several processes may do the same at once."""
    while True:
        directory.deleted.clear()
        try:
            await _sweep(context, directory, journal)
        except (KafkaError, KafkaUnreachable, TimeoutError) as error:
            log.warning("what deleted channels said is looked at again later", reason=type(error).__name__)
            asyncio.get_running_loop().call_later(_AGAIN_S, directory.deleted.set)
        await directory.deleted.wait()


async def _sweep(context: Context, directory: Directory, journal: Journal) -> None:
    for entry in (await read_memory(context)).entries():
        channel = directory.get(entry.channel_id)
        if channel is None or channel.type != entry.channel_type:
            await journal.forget(entry.key)
            log.info("forgotten", channel_id=entry.channel_id, group_key=entry.group_key)
