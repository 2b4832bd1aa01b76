"""The JSON codec: what is refused, and how much is written about it."""

from __future__ import annotations

from tocsin.engine.ingest.codecs.json import decode

SAMPLE = b'{"name": "m", "value": 1}'


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
