"""JSON lines, CSV and influx line protocol as messages for a metrics topic, each mistake with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import msgspec

from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.metric import MAX_LABELS, MAX_NAME_CHARS, MAX_SAMPLE_BYTES

_MAX_LINE_BYTES: Final = 900_000  # Kafka's default limit for a message is 1 MiB
Report = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the series of its (first) sample as key."""

    key: bytes
    value: bytes
    samples: int


class _Sample(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    value: float
    timestamp: int | float | str | None = None
    labels: dict[str, str] = {}
    unit: str | None = None


_one_or_many = msgspec.json.Decoder(_Sample | list[_Sample])
_encoder = msgspec.json.Encoder()


def parsed(stream: BinaryIO, format_: str, report: Report) -> Iterator[Message]:
    """The messages of a stream; `report` is told the line and the text of each mistake, and the line is left out."""
    reader = {"json": _json_lines, "csv": _csv_rows, "influx": _influx_lines}[format_]
    yield from reader(stream, report)


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE_BYTES + 2), b""), 1):
        if line.strip():
            yield number, line.strip()


def _json_lines(stream: BinaryIO, report: Report) -> Iterator[Message]:
    for number, line in _lines(stream):
        try:
            if len(line) > _MAX_LINE_BYTES:
                raise ValueError(f"is over {_MAX_LINE_BYTES} bytes; split the array")
            found = _one_or_many.decode(line)
            samples = found if isinstance(found, list) else [found]
            for sample in samples:
                _check(sample)
        except (ValueError, RecursionError) as error:
            report(number, _mended(error))
            continue
        if samples:
            yield Message(_key(samples[0]), line, len(samples))


def _csv_rows(stream: BinaryIO, report: Report) -> Iterator[Message]:
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
    try:
        rows = csv.reader(text)
        header = [name.strip() for name in next(rows, [])]
        missing = [name for name in ("name", "value") if name not in header]
        if missing or len(set(header)) < len(header):
            wrong = f"has no column {missing[0]!r}" if missing else "names a column twice"
            report(1, f"the header {wrong}; write name,value,timestamp and the labels' names")
            return
        while (row := _next_row(rows, report)) is not None:
            try:
                if row:
                    yield _encoded(_from_row(header, row))
            except ValueError as error:
                report(rows.line_num, _mended(error))
    finally:
        text.detach()  # the stream is its owner's to close


def _next_row(rows: Any, report: Report) -> list[str] | None:
    while True:
        try:
            row: list[str] = next(rows)
            return row
        except StopIteration:
            return None
        except csv.Error as error:
            report(rows.line_num, f"is not CSV: {error}")


def _from_row(header: list[str], row: list[str]) -> _Sample:
    if len(row) != len(header):
        raise ValueError(f"has {len(row)} columns, and the header {len(header)}; quote values with commas")
    cells = dict(zip(header, row, strict=True))
    name, value, at = cells.pop("name"), cells.pop("value"), cells.pop("timestamp", "").strip()
    unit = cells.pop("unit", "") or None
    timestamp = _number(at, "timestamp") if re.fullmatch(r"-?[0-9.]+", at) else (at or None)
    labels = {label: cell for label, cell in cells.items() if cell}
    return _Sample(name, _number(value, "value"), timestamp, labels, unit)


def _number(text: str, field: str) -> float | int:
    try:
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text.strip()) else float(text)
    except ValueError:
        raise ValueError(f"{field}: {text[:40]!r} must be a number") from None


# Measurement and tags up to the first bare space, then fields, then nanoseconds; a backslash takes away a meaning.
_INFLUX_LINE = re.compile(
    r'(?P<series>(?:\\.|[^ \\])+) +(?P<fields>(?:"(?:\\.|[^"\\])*"|\\.|[^ "\\])+)(?: +(?P<at>-?[0-9]{1,19}))?',
    re.DOTALL,
)
_INFLUX_PART = re.compile(r"((?:\\.|[^,\\])+)(?:,|$)", re.DOTALL)
_INFLUX_FIELD = re.compile(r'(?P<name>(?:\\.|[^=,\\])+)=(?P<value>"(?:\\.|[^"\\])*"|[^,"]+)(?:,|$)', re.DOTALL)
_INFLUX_ESCAPE = re.compile(r"\\([, =\\])")
_NS_PER_MS: Final = 1_000_000


def _influx_lines(stream: BinaryIO, report: Report) -> Iterator[Message]:
    for number, line in _lines(stream):
        if line.startswith(b"#"):
            continue
        try:
            samples = list(_from_influx(line.decode()))
            for sample in samples:
                _check(sample)
        except (ValueError, UnicodeDecodeError) as error:
            report(number, _mended(error))
            continue
        for sample in samples:
            yield _encoded(sample)


def _from_influx(line: str) -> Iterator[_Sample]:
    shape = _INFLUX_LINE.fullmatch(line)
    if shape is None:
        raise ValueError("is not influx line protocol; write name,tag=a field=1.5 1764000000000000000")
    measurement, *tags = _INFLUX_PART.findall(shape["series"])
    labels = {}
    for tag in tags:
        name, equals, value = re.sub(r"(?<!\\)=", "\0", tag, count=1).partition("\0")
        if not equals or not name or not value:
            raise ValueError(f"{tag[:40]!r} is not a tag; write name=value")
        labels[_unescaped(name)] = _unescaped(value)
    at_ms = int(shape["at"]) // _NS_PER_MS if shape["at"] else None
    end = 0
    for field in _INFLUX_FIELD.finditer(shape["fields"]):
        if field.start() != end:
            break
        end = field.end()
        number = _influx_number(field["value"])
        if number is not None:
            name = _unescaped(field["name"])
            full = _unescaped(measurement) if name == "value" else f"{_unescaped(measurement)}_{name}"
            yield _Sample(full, number, at_ms, labels)
    if end != len(shape["fields"]):
        raise ValueError(f'{shape["fields"][end : end + 40]!r} is not a field; write name=1.5, name=3i or name="text"')


def _influx_number(text: str) -> float | None:
    """None for texts and truths, which are no samples."""
    if text.startswith('"') or text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"):
        return None
    return _number(text[:-1] if text.endswith(("i", "u")) else text, "field")


def _unescaped(text: str) -> str:
    return _INFLUX_ESCAPE.sub(r"\1", text)


def _encoded(sample: _Sample) -> Message:
    _check(sample)
    return Message(_key(sample), _encoder.encode(sample), 1)


def _key(sample: _Sample) -> bytes:
    """Text, as every key of tocsin: the series' id in hexadecimal digits."""
    return series_id(series_key(sample.name, sample.labels)).hex().encode()


def _check(sample: _Sample) -> None:
    if not 0 < len(sample.name) <= MAX_NAME_CHARS:
        raise ValueError(f"name: must have 1 to {MAX_NAME_CHARS} characters")
    if not math.isfinite(sample.value):
        raise ValueError(f"value: {sample.value} is not finite; leave the sample out")
    if len(sample.labels) > MAX_LABELS:
        raise ValueError(f"labels: {len(sample.labels)} are over {MAX_LABELS}; leave some out")
    if isinstance(sample.timestamp, str):
        try:
            parse_instant(sample.timestamp)
        except ValueError as error:
            raise ValueError(f"timestamp: {error}") from None
    if sum(len(name) + len(value) for name, value in sample.labels.items()) > MAX_SAMPLE_BYTES:
        raise ValueError(f"labels: hold over {MAX_SAMPLE_BYTES} characters; shorten them")


def _mended(error: Exception) -> str:
    """msgspec's messages with the field first, as everywhere else."""
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8; save the file as UTF-8"
    text = str(error)
    found = re.fullmatch(r"(.*) - at `\$(?:\[(?:\.\.\.|\d+)\])?\.?(.*)`", text)
    if isinstance(error, msgspec.ValidationError):
        text = found[1] if found else text
        text = text[0].lower() + text[1:]
        return f"{found[2]}: {text}" if found and found[2] else text
    if isinstance(error, msgspec.DecodeError):
        return f'is not JSON ({text}); write {{"name": "cpu", "value": 0.5}}'
    return text if not isinstance(error, RecursionError) else "is nested too deeply"
