"""The JSON codec: what is refused, and how much is written about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.ingest.codecs import json
from tocsin.engine.ingest.codecs.json import decode

SAMPLE = b'{"name": "m", "value": 1}'
STAMPED = b'{"name": "n", "value": 2.5, "timestamp": 17, "labels": {"a":  "b"}, "unit": "ms"}'
MESSAGES = (
    SAMPLE,
    STAMPED,
    b"[" + STAMPED + b"]",
    b" [" + b",".join([STAMPED] * 5) + b"]\n",
    b"[" + SAMPLE + b"," + STAMPED + b"]",
    b"[" + STAMPED + b", 17]",
    b"[]",
    b"[",
    b"",
)


def test_an_array_of_bad_elements_is_refused_once_for_each_reason() -> None:
    message = b"[" + b",".join([b"1"] * 1_000 + [b'{"name": "m", "value": 1e400}'] * 2 + [SAMPLE]) + b"]"
    found = decode([SAMPLE, message])
    assert len(found.values) == 2
    assert [(one.message, one.reject.reason, one.value) for one in found.unread] == [
        (1, "type", message),
        (1, "value", message),
    ]
    assert found.unread[0].reject.detail.endswith("; 999 more samples of it were refused")
    assert found.unread[1].reject.detail.endswith("; 1 more samples of it were refused")


def test_one_bad_element_is_refused_by_itself() -> None:
    found = decode([b"[" + SAMPLE + b", 17, " + SAMPLE + b"]"])
    assert found.message is not None
    assert found.message.tolist() == [0, 0]
    assert [(one.value, "more" in one.reject.detail) for one in found.unread] == [(b"17", False)]


def rows(messages: Sequence[bytes], first: int = 0) -> Iterator[tuple[object, ...]]:
    """Each sample, and then each thing that is none, with the place of its message."""
    found = decode(messages)
    assert found.plain_timestamps <= (None not in found.timestamps)
    owners = range(len(messages)) if found.message is None else found.message
    columns = found.names, found.labels, found.values, found.timestamps, found.units
    for owner, *sample in zip(owners, *columns, strict=True):
        yield first + owner, *sample
    for one in found.unread:
        yield first + one.message, one.reject.reason, one.value


@given(st.lists(st.sampled_from(MESSAGES), max_size=12))
def test_each_message_gives_the_same_samples_alone_and_among_others(messages: list[bytes]) -> None:
    alone = [row for first, message in enumerate(messages) for row in rows([message], first)]
    with mock.patch.object(json, "_AT_ONCE", 4):
        together = list(rows(messages))
    assert [row for row in together if len(row) > 3] == [row for row in alone if len(row) > 3]
    assert [row for row in together if len(row) == 3] == [row for row in alone if len(row) == 3]
