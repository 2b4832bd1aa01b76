"""Bounded decompression: what aiokafka's decoders give, at most the bound, and in several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiokafka import codec

from tocsin.agents.decompression import BoundedDecoders, UnpackRefused

LIMIT = 2**20
PACK: dict[str, Callable[[bytes], Any]] = {
    "gzip": codec.gzip_encode,
    "snappy": codec.snappy_encode,
    "lz4": codec.lz4_encode,
    "zstd": codec.zstd_encode,
}


@pytest.mark.parametrize("name", PACK)
def test_it_unpacks_what_is_within_the_bound(name: str) -> None:
    decode = getattr(BoundedDecoders(LIMIT), f"{name}_decode")
    for content in (b"", b"x", b"metric" * 1_000, bytes(LIMIT)):
        assert decode(bytes(PACK[name](content))) == content


@pytest.mark.parametrize("name", PACK)
def test_it_refuses_what_is_over_the_bound_or_damaged(name: str) -> None:
    decode = getattr(BoundedDecoders(LIMIT), f"{name}_decode")
    packed = bytes(PACK[name](bytes(LIMIT + 1)))
    for payload in (packed, packed[: len(packed) // 2], b"\x00" * 50 + packed):
        with pytest.raises(UnpackRefused):
            decode(payload)


@pytest.mark.parametrize("name", PACK)
def test_threads_do_not_see_each_others_content(name: str) -> None:
    decode = getattr(BoundedDecoders(LIMIT), f"{name}_decode")
    together = threading.Barrier(4)

    def unpack(number: int) -> int:
        content = bytes([number]) * 300_000
        packed = bytes(PACK[name](content))
        together.wait(10)
        return sum(decode(packed) != content for _ in range(200))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(unpack, range(4))) == [0, 0, 0, 0]
