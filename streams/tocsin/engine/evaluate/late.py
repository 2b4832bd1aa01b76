"""Samples that came after what they belong to was judged, as they lie on the topic `late` for rules that ask for it."""

import msgspec


class LateSample(msgspec.Struct, frozen=True):
    """One sample, where it lay, and the rules for which it came too late. `timestamp` is epoch milliseconds."""

    name: str
    value: float
    timestamp: int
    labels: dict[str, str]
    rules: list[str]
    topic: str
    partition: int
    offset: int

    @property
    def key(self) -> bytes:
        """Where it lay: a repeat after a crash has the same key."""
        return f"{self.topic}/{self.partition}/{self.offset}".encode()

    def encode(self) -> bytes:
        """As it lies on the topic: a metric, with more."""
        return msgspec.json.encode(self)
