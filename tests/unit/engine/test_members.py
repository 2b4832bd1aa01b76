"""What lies on `partials` of single members: it goes where their groups belong, and nowhere else."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.partial import DamagedPartial, Members, decode, encode, flat, home_of, indexes, spread
from tocsin.schemas.labels import series_key


def members(owned: list[int]) -> Members:
    """Two rows of each member, whose group is the one by that number."""
    rows = np.repeat(np.arange(len(owned)), 2)
    return Members(
        "0",
        1,
        "lane",
        [series_key("", {"host": str(place), "cluster": str(owner)}) for place, owner in enumerate(owned)],
        indexes(rows),
        np.tile([0, 1_000], len(owned)).astype(np.int64).tobytes(),
        flat({"count": rows * 10}),
        units=["ms" if place % 2 else None for place in range(len(owned))],
        owners=[series_key("", {"cluster": str(owner)}) for owner in range(4)],
        owned=indexes(np.array(owned)),
    )


def rows_of(item: Members) -> list[tuple[object, ...]]:
    groups, owned = np.frombuffer(item.groups, np.uint32), np.frombuffer(item.owned, np.uint32)
    starts, counts = np.frombuffer(item.starts, np.int64).tolist(), item.figure("count", len(groups)).tolist()
    return [
        (item.keys[group], item.units[group], item.owners[owned[group]], start, count)
        for group, start, count in zip(groups.tolist(), starts, counts, strict=True)
    ]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 4))
def test_each_member_goes_where_its_group_belongs(owned: list[int], partitions: int) -> None:
    item = members(owned)
    found: list[tuple[object, ...]] = []
    for home, part in spread(item, partitions).items():
        read = decode(encode(part))
        assert isinstance(read, Members)
        assert {home_of(owner, partitions) for owner in read.owners} == {home}
        found += rows_of(read)
    assert sorted(found, key=repr) == sorted(rows_of(item), key=repr)


@pytest.mark.parametrize(
    "damage",
    [
        {"owned": indexes(np.array([0, 9]))},
        {"owned": b""},
        {"units": []},
        {"owners": [b"\xff\xfe"] * 4},
        {"keys": [b"x"]},
        {"starts": b""},
    ],
)
def test_what_does_not_go_together_is_damaged(damage: dict[str, object]) -> None:
    with pytest.raises(DamagedPartial):
        decode(encode(msgspec.structs.replace(members([0, 1]), **damage)))
