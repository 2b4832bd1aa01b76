"""To which partitions keys belong, as Kafka's own clients say: murmur2 of many keys at once.

aiokafka's is plain Python and takes 14 µs for a fingerprint, which in a storm of alerts is most of what sending costs.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SEED: Final = 0x9747B28C
_MIX: Final = np.uint32(0x5BD1E995)
_SHIFT: Final = np.uint32(24)
Hashes = NDArray[np.uint32]


def partitions_of(keys: Sequence[bytes], count: int) -> list[int]:
    """The partition of each key, of `count`."""
    found = np.empty(len(keys), np.int64)
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        hashes = _murmur2((keys[place] for place in places.tolist()), length, len(places))
        found[places] = (hashes & np.uint32(0x7FFFFFFF)).astype(np.int64) % count
    return [int(one) for one in found.tolist()]


def _murmur2(keys: Iterable[bytes], length: int, count: int) -> Hashes:
    """Of keys of one length."""
    raw = np.frombuffer(b"".join(keys), np.uint8).reshape(count, length)
    whole = length // 4 * 4
    words = np.ascontiguousarray(raw[:, :whole]).view("<u4")
    hashes: Hashes = np.full(count, _SEED ^ length, np.uint32)
    for column in range(whole // 4):
        word = words[:, column] * _MIX
        word ^= word >> _SHIFT
        hashes = (hashes * _MIX) ^ (word * _MIX)
    if length > whole:
        for index in range(length - whole):
            hashes ^= raw[:, whole + index].astype(np.uint32) << np.uint32(8 * index)
        hashes *= _MIX
    hashes ^= hashes >> np.uint32(13)
    hashes *= _MIX
    hashes ^= hashes >> np.uint32(15)
    return hashes
