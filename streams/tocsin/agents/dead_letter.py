"""A dead letter: what could not be processed, with headers that say why and where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tocsin.agents.run_table import Output
from tocsin.schemas.dead_letter import Header, kept_headers

MAX_VALUE_BYTES: Final = 512 * 1024  # below what any broker takes; a message can unpack to more than that
MAX_KEY_BYTES: Final = 4 * 1024
_MAX_DETAIL: Final = 1_000


@dataclass(frozen=True, slots=True)
class Message:
    """What is buried, and its place; `at_ms` is Kafka's timestamp, None where there is no message to be had."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    at_ms: int | None = None
    headers: Sequence[Header] = ()


def message_of(topic: str, partition: int, record: Any) -> Message:
    """A fetched record."""
    return Message(
        topic, partition, record.offset, record.key, bytes(record.value or b""), record.timestamp, record.headers
    )


def dead_letter(dlq: str, stage: str, reason: str, detail: str, message: Message) -> Output:
    """The record for `dlq`; `detail` is for people and cut to 1,000 characters.

    Value, key and headers are cut to what a broker takes in any case; a letter that lacks a part is `truncated`.
    """
    key, value = message.key, message.value
    headers, headers_size = kept_headers(message.headers)
    sizes = {
        "key-truncated": len(key) if key and len(key) > MAX_KEY_BYTES else 0,
        "headers-truncated": headers_size,
    }
    cut = {name: str(size) for name, size in sizes.items() if size}
    if cut or len(value) > MAX_VALUE_BYTES:
        cut["truncated"] = str(len(value))
    told = {
        **cut,
        "reason": reason,
        "detail": detail[:_MAX_DETAIL],
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
        "stage": stage,
    }
    if message.at_ms is not None:
        told["timestamp"] = str(message.at_ms)
    own: list[Header] = [(name, text.encode(errors="replace")) for name, text in told.items()]
    return Output(dlq, key if key is None else key[:MAX_KEY_BYTES], value[:MAX_VALUE_BYTES], [*headers, *own])
