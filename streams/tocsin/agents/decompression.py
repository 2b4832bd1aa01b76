"""Bounded decompression for every aiokafka consumer of a process.

The broker limits the compressed size of a record batch only: one of 48 KiB may unpack to gigabytes. aiokafka's decoders
have no bound, so they are replaced by these. Each unpacks into a buffer that is used again and never grows; every
thread has its own, since Faust's consumer runs in a thread and unpacking releases the interpreter's lock.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

import cramjam
import numpy as np
from aiokafka import codec
from aiokafka.record._crecords import default_records, legacy_records

_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_NAMES: Final = ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode")


class UnpackRefused(Exception):
    """A compressed record batch that is damaged, or unpacks to more than allowed."""


class BoundedDecoders:
    """Decoders of Kafka's four codecs that refuse to unpack more than `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._own = threading.local()

    def _room(self) -> memoryview:
        """This thread's buffer; pages that are never written cost no memory."""
        room: memoryview | None = getattr(self._own, "room", None)
        if room is None:
            room = self._own.room = np.empty(self._limit, np.uint8).data
        return room

    def _into(self, unpack: Callable[[Any, Any], int], payload: Any, at: int = 0) -> int:
        try:
            return at + unpack(payload, self._room()[at:])
        except Exception as error:  # noqa: BLE001 - cramjam raises its own errors, and plain ones of Rust's writers
            raise UnpackRefused(
                f"it does not unpack, or unpacks to more than {self._limit} bytes: {error}"[:300]
            ) from None

    def gzip_decode(self, payload: Any) -> bytes:
        """As aiokafka's, bounded."""
        return bytes(self._room()[: self._into(cramjam.gzip.decompress_into, payload)])

    def lz4_decode(self, payload: Any) -> bytes:
        """As aiokafka's, bounded."""
        return bytes(self._room()[: self._into(cramjam.lz4.decompress_into, payload)])

    def zstd_decode(self, payload: Any) -> bytes:
        """As aiokafka's, bounded."""
        return bytes(self._room()[: self._into(cramjam.zstd.decompress_into, payload)])

    def snappy_decode(self, payload: Any) -> bytes:
        """As aiokafka's, bounded: raw snappy, or blocks in the framing of xerial's library."""
        view = memoryview(payload).cast("B")
        if bytes(view[: len(_XERIAL_MAGIC)]) != _XERIAL_MAGIC:
            return bytes(self._room()[: self._into(cramjam.snappy.decompress_raw_into, payload)])
        at, end = _XERIAL_HEADER_BYTES, 0
        while at < len(view):
            size = int.from_bytes(view[at : at + _LENGTH_BYTES], "big")
            at += _LENGTH_BYTES
            if size > len(view) - at:
                raise UnpackRefused("it is cut short")
            end = self._into(cramjam.snappy.decompress_raw_into, bytes(view[at : at + size]), end)
            at += size
        return bytes(self._room()[:end])


def bound_decompression(limit_bytes: int) -> None:
    """Replace aiokafka's decoders in this process; fails loudly if they are not where they are expected."""
    bounded = BoundedDecoders(limit_bytes)
    for name in _NAMES:
        for module in (codec, default_records, legacy_records):
            if not hasattr(module, name) and not (module is legacy_records and name == "zstd_decode"):
                raise RuntimeError(f"aiokafka's {module.__name__} has no {name}: this version of it is not supported")
            setattr(module, name, getattr(bounded, name))
