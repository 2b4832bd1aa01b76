"""A dead letter: what could not be processed, with headers that say why and where it came from."""

from typing import Final

from tocsin.agents.outbox import Header

MAX_VALUE_BYTES: Final = 512 * 1024  # below what any broker takes; a message can unpack to more than that
MAX_KEY_BYTES: Final = 4 * 1024
_MAX_DETAIL: Final = 1_000


def dead_letter_value(value: bytes) -> bytes:
    """The value, cut to what a broker takes in any case."""
    return value[:MAX_VALUE_BYTES]


def dead_letter_key(key: bytes | None) -> bytes | None:
    """The key, cut like the value: it may be as long as a message."""
    return key if key is None else key[:MAX_KEY_BYTES]


def dead_letter_headers(
    stage: str, reason: str, detail: str, topic: str, partition: int, offset: int, size: int, key_size: int = 0
) -> list[Header]:
    """Headers for a record on `dlq`; `detail` is for people and cut to 1,000 characters.

    `size` and `key_size` are those of value and key; a letter that lacks a part of either is `truncated`.
    """
    key_cut = [("key-truncated", str(key_size).encode())] if key_size > MAX_KEY_BYTES else []
    cut = [("truncated", str(size).encode())] if size > MAX_VALUE_BYTES or key_cut else []
    return [
        *cut,
        *key_cut,
        ("reason", reason.encode()),
        ("detail", detail[:_MAX_DETAIL].encode(errors="replace")),
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(offset).encode()),
        ("stage", stage.encode()),
    ]
