"""Fingerprints of many alerts at once: one by one, hashing is most of what a storm of alerts costs."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tocsin.schemas.labels import FNV_OFFSET, FNV_PRIME

_AT_ONCE: Final = 512  # texts as long as the longest of them, so that memory is bounded


def fingerprints(texts: Sequence[bytes]) -> list[str]:
    """`fingerprint` of each text: FNV-1a over all of them byte by byte, the longest first."""
    longest_first = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
    found = [""] * len(texts)
    for begin in range(0, len(texts), _AT_ONCE):
        some = longest_first[begin : begin + _AT_ONCE]
        for index, digits in zip(some, _hashed([texts[index] for index in some]), strict=True):
            found[index] = digits
    return found


def _hashed(texts: Sequence[bytes]) -> list[str]:
    lengths = np.array([len(text) for text in texts])
    width = int(lengths[0])
    padded = np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), np.uint8).reshape(len(texts), width)
    columns = padded.T.astype(np.uint64)
    hashed = np.full(len(texts), FNV_OFFSET, np.uint64)
    prime = np.uint64(FNV_PRIME)
    reaching = np.searchsorted(-lengths, -np.arange(width), side="left")  # how many texts are longer than each place
    for column, rows in zip(columns, reaching.tolist(), strict=True):
        hashed[:rows] ^= column[:rows]
        hashed[:rows] *= prime
    return [f"{one:016x}" for one in hashed.tolist()]
