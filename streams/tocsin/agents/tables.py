"""Faust tables, written in batches: first the changelog, acknowledged, then the local store.

A table entry a time costs 200 µs in Faust; agents that keep columns write a few large entries at each checkpoint, and
those that keep an entry for each alert write all entries of a run together.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from tocsin.agents.outbox import Outbox
from tocsin.engine.run_table import Output


def read(table: Any, partition: int, key: bytes) -> bytes | None:
    """An entry of one partition. Faust's own `get` guesses the partition from the event that is being processed."""
    value: bytes | None = table.data._db_for_partition(partition).get(key)  # noqa: SLF001
    return value


def keys(table: Any, partition: int, prefix: bytes) -> list[bytes]:
    """The keys of one partition that begin with a prefix, in order."""
    cursor = table.data._db_for_partition(partition).iter()  # noqa: SLF001
    cursor.seek(prefix)
    found = []
    while cursor.valid() and cursor.key().startswith(prefix):
        found.append(cursor.key())
        cursor.next()
    return found


async def write(outbox: Outbox, table: Any, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
    """Write entries of one partition durably; None removes one. Returns when they are in changelog and store."""
    if not entries:
        return
    topic = table.changelog_topic.get_topic_name()
    parcels = await outbox.post([Output(topic, key, value, [], partition) for key, value in entries.items()])
    done = await outbox.acknowledged(parcel.sent for parcel in parcels)
    target = TP(topic, partition)
    stretches = [(ack.offset, parcel.count) for ack, parcel in zip(done, parcels, strict=True)]
    offset = _read_up_to(table.data.persisted_offset(target), stretches)
    events = [
        SimpleNamespace(message=SimpleNamespace(tp=target, partition=partition, offset=offset, key=key, value=value))
        for key, value in entries.items()
    ]
    # The call with which Faust itself applies changelog records, so the store's own offset moves along.
    table.data.apply_changelog_batch(events, bytes, bytes)


def _read_up_to(last: int | None, written: Sequence[tuple[int, int]]) -> int:
    """Up to which offset the store holds the changelog, now that records of ours lie in stretches: the first offset of
    each, and how many records.

    Where others wrote in between, since we were thought dead or they are, the store lacks what they wrote: it stays
    where it was, and when the partition is assigned again Faust reads on from there.
    """
    before = next_offset = -1 if last is None else last
    for first, count in written:
        if first != next_offset + 1:
            return before
        next_offset += count
    return next_offset
