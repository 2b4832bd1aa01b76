"""A record on `dlq`: the message as it was, and in headers of ours why it is there and where it came from."""

from collections.abc import Iterable
from typing import Final

Header = tuple[str, bytes | None]  # Kafka tells an empty value from none
MAX_HEADERS_BYTES: Final = 64 * 1024  # with key and value below what any broker takes

OWN_HEADERS: Final = frozenset(
    (
        *("reason", "detail", "topic", "partition", "offset", "timestamp", "stage", "channel_id"),
        *("truncated", "key-truncated", "headers-truncated"),
    )
)
_ESCAPE: Final = "message-"


def kept_headers(headers: Iterable[Header]) -> tuple[list[Header], int]:
    """A message's headers as its dead letter carries them: one named like ours gets another name.

    Also how many bytes they have in all if that is too much, else 0; then there are as many as may be.
    """
    kept: list[Header] = []
    size = 0
    for name, value in headers:
        size += len(name.encode(errors="replace")) + len(value or b"")
        if size <= MAX_HEADERS_BYTES:
            escaped = f"{_ESCAPE}{name}" if name in OWN_HEADERS or name.startswith(_ESCAPE) else name
            kept.append((escaped, value))
    return kept, size if size > MAX_HEADERS_BYTES else 0


def restored_headers(headers: Iterable[Header]) -> list[Header]:
    """The message's own headers, from those of its dead letter."""
    return [(name.removeprefix(_ESCAPE), value) for name, value in headers if name not in OWN_HEADERS]
