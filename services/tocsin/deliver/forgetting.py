"""What channels said is forgotten when they are deleted: else it would lie on `messages` for ever, since nobody says
the last word."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from tocsin.context import Context
from tocsin.deliver.directory import Directory, opened_directory
from tocsin.deliver.journal import Journal
from tocsin.deliver.memory import read_memory
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.schemas.notification import Remembered

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
    """Channels are read again behind what they said, to the end of their topic: one that was made anew meanwhile keeps
    what it says, however late this process follows."""
    gone = [entry for entry in (await read_memory(context)).entries() if not _is_there(directory, entry)]
    if not gone:
        return
    async with opened_directory(context) as (now, _):
        gone = [entry for entry in gone if not _is_there(now, entry)]
    for entry in gone:
        await journal.forget(entry.key)
        log.info("forgotten", channel_id=entry.channel_id, group_key=entry.group_key)


def _is_there(directory: Directory, entry: Remembered) -> bool:
    channel = directory.get(entry.channel_id)
    return channel is not None and channel.type == entry.channel_type
