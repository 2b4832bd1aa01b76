"""Metrics as JSON: one object a message, or an array of them.

The fast path decodes a whole run at once. It must reject exactly what the slow one rejects, wherever a run is cut: so
it is taken only if every message begins with `{` and ends with `}`, and as many objects as messages come out. Within
an object `}` newline `{` cannot stand (strings hold no raw newline), so no object can span two messages then.
"""

from array import array
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from tocsin.engine.ingest.columns import Columns, Unread
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.metric import MAX_SAMPLE_BYTES, Metric, Reject

_OPEN, _CLOSE = ord("{"), ord("}")
_AT_ONCE = 1_500  # messages: what they become stays in the processor's cache until it is columns


class _Stamped(msgspec.Struct, gc=False):
    """The form that nearly all producers write, without a unit, and nothing to convert."""

    name: str
    value: float
    timestamp: int
    labels: msgspec.Raw = msgspec.Raw(b"")


class _StampedUnit(_Stamped, gc=False):
    unit: str | None = None


_stamped = msgspec.json.Decoder(_StampedUnit)
_any = msgspec.json.Decoder(Metric)
_stamped_array = msgspec.json.Decoder(list[_StampedUnit])
_raw_array = msgspec.json.Decoder(list[msgspec.Raw])
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode(messages: Sequence[bytes]) -> Columns:
    """Decode a run of messages."""
    columns = Columns(plain_timestamps=True)
    for begin in range(0, len(messages), _AT_ONCE):
        if not _take_plain(columns, messages[begin : begin + _AT_ONCE]):
            return _one_by_one(messages)
    return columns


def _take_plain(columns: Columns, messages: Sequence[bytes]) -> bool:
    if messages[0][:1] == b"[":
        return False
    joined = b"\n".join(messages)
    if not _is_one_object_each(messages, joined):
        return False
    try:
        metrics = _stamped.decode_lines(joined)
    except _REFUSED:
        return False
    if len(metrics) != len(messages):
        return False
    _take(columns, metrics)
    return True


def _take(columns: Columns, metrics: Sequence[_StampedUnit]) -> None:
    columns.names += [metric.name for metric in metrics]
    columns.labels += [b"" + metric.labels for metric in metrics]  # at 0.6 of what bytes() costs
    columns.values += [metric.value for metric in metrics]
    columns.timestamps += [metric.timestamp for metric in metrics]
    columns.units += [metric.unit for metric in metrics]


def _is_one_object_each(messages: Sequence[bytes], joined: bytes) -> bool:
    lengths = np.fromiter(map(len, messages), np.int64, len(messages))
    if lengths.min() < 2 or lengths.max() > MAX_SAMPLE_BYTES:
        return False
    ends = np.cumsum(lengths + 1) - 1
    text = np.frombuffer(joined, np.uint8)
    return bool((text[ends - lengths] == _OPEN).all() and (text[ends - 1] == _CLOSE).all())


def _one_by_one(messages: Sequence[bytes]) -> Columns:
    owners = array("q")
    columns = Columns(message=owners, plain_timestamps=True)
    held: list[_StampedUnit] = []  # of arrays that follow each other: taken one by one they cost a tenth more
    for index, message in enumerate(messages):
        is_array = message[:1] == b"[" or message[:64].lstrip()[:1] == b"["
        metrics = _plain_array(message) if is_array else None
        if metrics is not None:
            held += metrics
            owners.extend(array("q", [index]) * len(metrics))
        if held and (metrics is None or len(held) >= _AT_ONCE):
            _take(columns, held)
            held.clear()
        if metrics is None:
            read = _loose_array if is_array else _one
            read(columns, index, message)
    _take(columns, held)
    return columns


def _plain_array(message: bytes) -> list[_StampedUnit] | None:
    try:
        return _stamped_array.decode(message)
    except _REFUSED:
        return None


def _one(columns: Columns, index: int, message: bytes) -> None:
    unread = _single(columns, index, message)
    if unread is not None:
        columns.unread.append(unread)


def _loose_array(columns: Columns, index: int, message: bytes) -> None:
    """An array in which something is unusual: its good elements count all the same.

    What is refused for one reason is one dead letter: the element if it is the only one, else the whole message.
    """
    try:
        elements = _raw_array.decode(message)
    except _REFUSED as error:
        columns.unread.append(Unread(index, _why(error), message))
        return
    refused: dict[str, Unread] = {}
    more: Counter[str] = Counter()
    for element in elements:
        unread = _single(columns, index, bytes(element))
        if unread is not None:
            refused.setdefault(unread.reject.reason, unread)
            more[unread.reject.reason] += 1
    for reason, unread in refused.items():
        if more[reason] > 1:
            detail = f"{unread.reject.detail}; {more[reason] - 1} more samples of it were refused"
            unread = Unread(index, Reject(reason, detail), message)
        columns.unread.append(unread)


def _single(columns: Columns, index: int, message: bytes) -> Unread | None:
    """Read one sample into the columns; returns it if it is none."""
    assert columns.message is not None
    try:
        if len(message) > MAX_SAMPLE_BYTES:
            raise _Refusal(
                Reject("size", f"the sample has {len(message)} bytes; at most {MAX_SAMPLE_BYTES} are allowed")
            )
        metric = _any.decode(message)
        timestamp = _timestamp(metric.timestamp)
    except _Refusal as refusal:
        return Unread(index, refusal.reject, message)
    except _REFUSED as error:
        return Unread(index, _why(error), message)
    columns.names.append(metric.name)
    columns.labels.append(bytes(metric.labels))
    columns.values.append(metric.value)
    columns.timestamps.append(timestamp)
    columns.plain_timestamps &= timestamp is not None
    columns.units.append(metric.unit)
    columns.message.append(index)
    return None


class _Refusal(Exception):
    def __init__(self, reject: Reject) -> None:
        super().__init__(reject.detail)
        self.reject = reject


def _timestamp(value: int | float | str | None) -> int | None:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return round(value)
    try:
        return parse_instant(value)
    except ValueError as error:
        raise _Refusal(Reject("timestamp", str(error))) from None


def _why(error: Exception) -> Reject:
    if isinstance(error, UnicodeDecodeError):
        return Reject("utf8", "the text is not UTF-8")
    if isinstance(error, RecursionError):
        return Reject("json", "the JSON is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        if "out of range" in str(error):
            return Reject("value", f"a number is out of range: {error}")
        return Reject("type", f"the sample is not as it should be: {error}")
    return Reject("json", f"the message is not JSON: {error}")
