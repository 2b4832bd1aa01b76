"""The headers of a dead letter: why, and where it came from."""

from tocsin.agents.outbox import Header

_MAX_DETAIL = 1_000


def dead_letter_headers(stage: str, reason: str, detail: str, topic: str, partition: int, offset: int) -> list[Header]:
    """Headers for a record on `dlq`; `detail` is for people and cut to 1,000 characters."""
    return [
        ("reason", reason.encode()),
        ("detail", detail[:_MAX_DETAIL].encode(errors="replace")),
        ("topic", topic.encode()),
        ("partition", str(partition).encode()),
        ("offset", str(offset).encode()),
        ("stage", stage.encode()),
    ]
