"""Faust tables, written in batches: first the changelog, acknowledged, then the local store.

A table entry a time costs 200 µs in Faust; agents that keep columns write a few large entries at each checkpoint, and
those that keep an entry for each alert write all entries of a run together.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from tocsin.agents.outbox import Outbox


def read(table: Any, partition: int, key: bytes) -> bytes | None:
    """An entry of one partition. Faust's own `get` guesses the partition from the event that is being processed."""
    value: bytes | None = table.data._db_for_partition(partition).get(key)  # noqa: SLF001
    return value


def names(table: Any, partition: int) -> list[bytes]:
    """The keys of all entries of one partition; some are Faust's own."""
    return list(table.data._db_for_partition(partition).keys())  # noqa: SLF001


async def write(outbox: Outbox, table: Any, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
    """Write entries of one partition durably; None removes one. Returns when they are in changelog and store."""
    if not entries:
        return
    topic = table.changelog_topic.get_topic_name()
    sent = [await outbox.send(topic, value, key=key, partition=partition) for key, value in entries.items()]
    done = await outbox.acknowledged(sent)
    target = TP(topic, partition)
    events = [
        SimpleNamespace(
            message=SimpleNamespace(tp=target, partition=partition, offset=ack.offset, key=key, value=value)
        )
        for ack, (key, value) in zip(done, entries.items(), strict=True)
    ]
    # The call with which Faust itself applies changelog records, so the store's own offset moves along.
    table.data.apply_changelog_batch(events, bytes, bytes)
