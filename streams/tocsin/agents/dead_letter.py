"""A dead letter: what could not be processed, with headers that say why and where it came from."""

from typing import Final

from tocsin.agents.outbox import Header

MAX_VALUE_BYTES: Final = 512 * 1024  # below what any broker takes; a message can unpack to more than that
_MAX_DETAIL: Final = 1_000


def dead_letter_value(value: bytes) -> bytes:
    """The value, cut to what a broker takes in any case."""
    return value[:MAX_VALUE_BYTES]


def dead_letter_headers(
    stage: str, reason: str, detail: str, topic: str, partition: int, offset: int, size: int
) -> list[Header]:
    """Headers for a record on `dlq`; `detail` is for people and cut to 1,000 characters, `size` that of the value."""
    cut = [("truncated", str(size).encode())] if size > MAX_VALUE_BYTES else []
    return [
        *cut,
        ("reason", reason.encode()),
        ("detail", detail[:_MAX_DETAIL].encode(errors="replace")),
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(offset).encode()),
        ("stage", stage.encode()),
    ]
