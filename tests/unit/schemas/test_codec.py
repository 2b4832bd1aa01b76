"""Records on our own topics: what goes in comes out, and what would break a reader is refused."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest

from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import UnreadableRecord, decode, decode_document, encode, encode_document
from tocsin.schemas.command import Command
from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.signal import Evidence, Signal

AT_MS = 1_700_000_000_000


def signal(value: float = 5.0) -> Signal:
    evidence = Evidence("m", (AT_MS - 1_000, AT_MS), 3, "metrics", 0, 17)
    return Signal("9f2c", "firing", "r", 1, (1, AT_MS, 0), AT_MS, AT_MS, {"a": "1"}, value, evidence)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (5.0, 5.0),
        (math.inf, sys.float_info.max),
        (-math.inf, -sys.float_info.max),
        (math.nan, 0.0),
    ],
)
def test_a_signal_of_any_value_is_read_back(value: float, read: float) -> None:
    found = decode(Signal, encode(signal(value)))
    assert found == signal(value)
    assert found.value == read


@pytest.mark.parametrize("number", [-1, MAX_MS + 1, 10**18, 10**40])
@pytest.mark.parametrize("field", ["at_ms", "since_ms"])
def test_a_signal_at_no_time_is_refused(field: str, number: int) -> None:
    with pytest.raises(UnreadableRecord, match=field):
        decode(Signal, json.dumps({**json.loads(encode(signal())), field: number}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"revision": 10**30},
        {"order": [0, 10**30, 0]},
        {"evidence": {"metric": "m", "window": [0, 10**18], "samples": 1}},
        {"evidence": {"metric": "m", "window": [-(10**18), 0], "samples": 1}},
        {"evidence": {"metric": "m", "window": [0, 1], "samples": 1, "offset": 10**30}},
    ],
)
def test_a_signal_with_numbers_that_no_table_holds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord):
        decode(Signal, json.dumps({**json.loads(encode(signal())), **change}).encode())


@pytest.mark.parametrize("number", [-1, MAX_MS + 1, 10**18, 10**40])
def test_a_command_at_no_time_is_refused(number: int) -> None:
    command = Command("c", "acknowledge", "9f2c", "anna", AT_MS, starts_at="2026-11-23T10:00:00.000Z")
    assert decode(Command, encode(command)) == command
    with pytest.raises(UnreadableRecord, match="at_ms"):
        decode(Command, json.dumps({**json.loads(encode(command)), "at_ms": number}).encode())


def test_a_document_under_another_key_is_refused() -> None:
    channel = Channel(id="ops", type="console")
    assert decode_document(Channel, encode_document(channel), "ops") == channel
    with pytest.raises(UnreadableRecord, match="'ops' is not the record's key; write it under its id"):
        decode_document(Channel, encode_document(channel), "other")
