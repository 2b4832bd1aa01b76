"""What delivery gives up on can be put back as it was."""

from __future__ import annotations

from typing import Any, cast

from aiokafka import AIOKafkaProducer, ConsumerRecord

from tocsin.deliver.journal import Journal
from tocsin.schemas.dead_letter import restored_headers
from tocsin.schemas.topics import Topics

TOPICS = Topics()


class Kept:
    """Takes what a producer is given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = []

    async def send_and_wait(self, topic: str, value: Any, key: Any, headers: Any) -> None:
        self.records.append((topic, key, value, headers))


async def test_a_dead_letter_keeps_the_headers_and_the_time_of_its_message() -> None:
    kept, own = Kept(), (("content-type", b"application/json"), ("reason", b"forged"))
    topic = TOPICS.notifications("email")
    record = ConsumerRecord(topic, 1, 7, 1_764_000_000_123, 0, b"k", b"{}", None, -1, -1, own)
    await Journal(cast("AIOKafkaProducer", kept), TOPICS).give_up(record, "refused", "ops", "no such mailbox")
    ((written_to, key, value, headers),) = kept.records
    assert (written_to, key, value) == (TOPICS.dlq, b"k", b"{}")
    assert ("content-type", b"application/json") in headers
    assert dict(headers)["timestamp"] == b"1764000000123"
    assert [text for name, text in headers if name == "reason"] == [b"refused"]
    assert restored_headers(headers) == list(own)
