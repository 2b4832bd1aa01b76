"""A metric as producers send it, and the bounds beyond which it is none."""

from typing import Final

import msgspec

MAX_LABELS: Final = 64
MAX_SAMPLE_BYTES: Final = 16 * 1024
MAX_NAME_CHARS: Final = 1_024
MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024  # an array of samples, unpacked


class Metric(msgspec.Struct, gc=False):
    """One sample as it stands in JSON. Labels stay raw bytes: parsed once per spelling, not once per sample."""

    name: str
    value: float
    timestamp: int | float | str | None = None
    labels: msgspec.Raw = msgspec.Raw(b"")
    unit: str | None = None


class Reject(msgspec.Struct, frozen=True):
    """Why something on a topic is not a sample. `reason` is a short stable word, `detail` a sentence for people."""

    reason: str
    detail: str


REASONS: Final = {
    "json": "the message is not JSON",
    "utf8": "the text is not UTF-8",
    "type": "a field is missing or has the wrong type",
    "value": "the value is not a finite number",
    "name": "the name is empty or too long",
    "labels": "the labels are not an object of texts, or too many",
    "size": "the sample is too large",
    "timestamp": "the timestamp is no time, or lies too far ahead",
    "compression": "the record batch does not unpack, or unpacks to too much",
    "batch": "the record batch is damaged",
    "tombstone": "the message has no value",
}
"""Every reason with which ingest sends something to the dead-letter topic."""
