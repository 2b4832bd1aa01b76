"""What a codec makes of messages: columns of samples, and what could not be read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tocsin.schemas.metric import Reject


@dataclass(slots=True)
class Unread:
    """Something that is no sample: the index of its message, why, and the bytes to keep."""

    message: int
    reject: Reject
    value: bytes


@dataclass(slots=True)
class Columns:
    """Samples of a run of messages, column by column.

    `message` is each sample's message index, None where sample i is message i. `names` and `labels`, raw, are as
    written; `timestamps` are epoch milliseconds, None where the message's own time counts.
    """

    names: list[str] = field(default_factory=list)
    labels: list[bytes] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    timestamps: list[int | None] = field(default_factory=list)
    units: list[str | None] = field(default_factory=list)
    message: array[int] | None = None
    plain_timestamps: bool = False  # every timestamp is an int: no look at each is needed
    unread: list[Unread] = field(default_factory=list)


Codec = Callable[[Sequence[bytes]], Columns]
