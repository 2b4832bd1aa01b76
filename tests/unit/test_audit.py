"""The audit trail: whatever is done to it is found, at the first place where it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.audit import Check, sealed
from tocsin.schemas.audit import AuditEntry

KEY = b"k" * 32


def trail(writers: list[int]) -> list[bytes]:
    """Entries of several processes, in the order in which they wrote; each knew what was there."""
    numbers: dict[int, tuple[int, str]] = {}
    written: list[bytes] = []
    seen = ""
    for place, writer in enumerate(writers):
        number, previous = numbers.get(writer, (0, ""))
        entry = sealed(
            AuditEntry(
                at="2026-12-01T00:00:00.000Z",
                actor="admin",
                action="PUT /rules/{id}",
                target={"id": f"r{place}"},
                status=200,
                after=msgspec.Raw(b'{"threshold":1.50}'),
                chain=f"c{writer}",
                number=number + 1,
                previous=previous,
                seen=seen,
            ),
            KEY,
        )
        numbers[writer], seen = (entry.number, entry.seal), entry.seal
        written.append(msgspec.json.encode(entry))
    return written


def checked(records: list[bytes], known: str = "", key: bytes = KEY) -> Check:
    check = Check(key)
    for offset, value in enumerate(records):
        check.take(offset, value)
    check.end(known)
    return check


def seal_of(record: bytes) -> str:
    return msgspec.json.decode(record, type=AuditEntry).seal


writers = st.lists(st.integers(0, 2), min_size=3, max_size=12)


@given(writers)
def test_what_was_written_is_whole(order: list[int]) -> None:
    records = trail(order)
    check = checked(records, seal_of(records[-1]))
    assert (check.fault, check.entries, check.last_seal) == ("", len(records), seal_of(records[-1]))


def test_an_entry_may_follow_one_of_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.audit._LATEST", 2)
    records = trail([0] * 9)
    late = msgspec.json.decode(trail([1])[0], type=AuditEntry)
    for place, fault in ((0, ""), (7, ""), (None, "offset 9: it follows an entry that is not there")):
        seen = seal_of(records[place]) if place is not None else "0" * 64
        last = msgspec.json.encode(sealed(msgspec.structs.replace(late, seen=seen), KEY))
        assert checked([*records, last], seal_of(records[0])).fault.startswith(fault)
    assert "the last one that is known" in checked(records, "not a seal").fault


@given(writers, st.data())
def test_the_first_place_that_is_not_as_it_was_is_named(order: list[int], data: st.DataObject) -> None:
    records = trail(order)
    place = data.draw(st.integers(0, len(records) - 2))
    kind = data.draw(st.sampled_from(["altered", "deleted", "moved", "repeated", "forged", "no entry"]))
    if kind == "altered":
        records[place] = records[place].replace(b'"id":"r', b'"id":"x')
    elif kind == "deleted":
        del records[place]
    elif kind == "moved":
        records[place], records[place + 1] = records[place + 1], records[place]
    elif kind == "repeated":
        records.insert(place + 1, records[place])
        place += 1
    elif kind == "forged":
        forged = msgspec.json.decode(records[place], type=AuditEntry)
        records.insert(place, msgspec.json.encode(sealed(forged, b"x" * 32)))
    else:
        records[place] = b"[]"
    assert checked(records).fault.startswith(f"offset {place}: ")


def test_an_end_that_is_gone_is_missed_by_whoever_knew_it() -> None:
    records = trail([0, 0, 1])
    assert checked(records[:2]).fault == ""
    assert checked(records[:2], seal_of(records[2])).fault.startswith("the end: 2 entries are there")


def test_another_key_opens_nothing() -> None:
    assert checked(trail([0]), key=b"y" * 32).fault.startswith("offset 0: the seal is not that of this content")
