"""Configuration that was overwritten with what is none, by somebody else than this API.

Each such record becomes a dead letter, and the last good entry is written again: it stays in force meanwhile, but
compaction would take it away, and a worker that starts then would not know it. What may come from another version of
tocsin, an object with the entry's own id, is left as it is.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from tocsin.agents.dead_letter import Message, dead_letter
from tocsin.api.problems import Problem
from tocsin.api.state import Api
from tocsin.projection.queries import Document, dead_letter_origins, one_document, unreadable_documents
from tocsin.schemas.escalation import MARKS

KINDS: Final = ("rules", "channels", "routes", "silences", *MARKS)
REASON: Final = "unreadable"
_EVERY_S: Final = 5.0
_log = structlog.get_logger("tocsin.api.mending")


async def mend_for_ever(api: Api) -> None:
    """Look every few seconds; what does not answer now is asked again."""
    await api.projector.caught_up.wait()
    # What is of another version stays unreadable: its dead letter is looked for once, and not every few seconds.
    done: set[tuple[str, int]] = set()
    while True:
        try:
            for kind in KINDS:
                for entry in await unreadable_documents(api.database, kind):
                    if (kind, entry.revision) not in done:
                        await _mend(api, kind, entry)
                        done.add((kind, entry.revision))
        except (Problem, SQLAlchemyError, KafkaError, OSError, TimeoutError) as error:
            _log.warning("unreadable configuration is looked at again later", error=str(error) or type(error).__name__)
        await asyncio.sleep(_EVERY_S)


async def _mend(api: Api, kind: str, entry: Document) -> None:
    topic, key = f"{api.context.topics.prefix}{kind}", entry.id
    if kind in MARKS:
        topic, key = api.context.topics.escalations, MARKS[kind] + entry.id
    if (topic, entry.revision) not in await dead_letter_origins(api.database, REASON):
        message = Message(topic, 0, entry.revision, key.encode(), entry.body["value"].encode())
        letter = dead_letter(api.context.topics.dlq, "api", REASON, entry.body["reason"], message)
        await api.put(letter.topic, letter.key, letter.value, letter.headers)
    if _is_of_another_version(entry.body["value"], entry.id):
        return
    async with api.changing(topic, "" if kind in MARKS else key):
        good = await one_document(api.database, kind, entry.id)
        if good is None or good.revision > entry.revision:
            return
        _log.warning("an entry was overwritten with what is none; the last good one is written again", id=entry.id)
        await api.write(topic, key, orjson.dumps(good.body))


def _is_of_another_version(value: str, identity: str) -> bool:
    try:
        found: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("id") == identity
