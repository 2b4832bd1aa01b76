"""What a dead letter keeps of its message: everything, as it was, within what any broker takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.dead_letter import MAX_KEY_BYTES, MAX_VALUE_BYTES, Message, dead_letter
from tocsin.schemas.dead_letter import MAX_HEADERS_BYTES, OWN_HEADERS, Header, restored_headers

BROKER_TAKES = 1_000_000
NAMES = st.sampled_from(sorted(OWN_HEADERS)) | st.text(max_size=8)
AS_OURS = st.tuples(st.sampled_from(["", "message-", "message-message-"]), NAMES).map("".join)


@given(st.lists(st.tuples(AS_OURS, st.none() | st.binary(max_size=20)), max_size=20))
def test_headers_come_back_as_they_were_whatever_their_names(headers: list[Header]) -> None:
    letter = dead_letter("dlq", "ingest", "json", "x", Message("metrics", 1, 2, b"k", b"v", 5, headers))
    assert restored_headers(letter.headers) == headers
    own = [(name, value) for name, value in letter.headers if name in OWN_HEADERS]
    assert len(own) == len(dict(own)), "nobody forges what a dead letter says of itself"
    assert dict(own)["timestamp"] == b"5"
    assert (letter.key, letter.value) == (b"k", b"v")
    assert "truncated" not in dict(own)


@given(st.integers(0, 9_000), st.integers(0, 40))
def test_what_lacks_headers_is_truncated_and_small_enough(count: int, length: int) -> None:
    headers: list[Header] = [(f"header-{number:05}", b"x" * length) for number in range(count)]
    message = Message("m", 0, 0, b"k" * MAX_KEY_BYTES, b"v" * MAX_VALUE_BYTES, None, headers)
    letter = dead_letter("dlq", "ingest", "json", "x" * 5_000, message)
    told = dict(letter.headers)
    is_cut = count * (12 + length) > MAX_HEADERS_BYTES
    assert ("truncated" in told) == ("headers-truncated" in told) == is_cut
    assert is_cut == (restored_headers(letter.headers) != headers)
    size = sum(len(name) + len(value or b"") + 10 for name, value in letter.headers)
    assert size + len(letter.key or b"") + len(letter.value or b"") < BROKER_TAKES
