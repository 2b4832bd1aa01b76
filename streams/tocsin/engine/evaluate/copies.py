"""Entries of a checkpoint, each in two copies, of which a header names the ones in force.

A checkpoint writes the other copy of what changed, then the header: whatever happens in between, the last header and
its copies are whole. The header holds each copy's checksum: it tells when a copy is not the one that it means, as when
a worker that was thought dead writes late.
"""

import zlib
from collections.abc import Callable

Get = Callable[[str], bytes | None]


class DamagedCheckpoint(Exception):
    """An entry that is missing, or not what was written."""


class Copies:
    """Which copy of each entry is in force: its checksum, times two, plus its number."""

    def __init__(self, marks: dict[str, int] | None = None) -> None:
        self.marks = marks or {}
        self._entries: dict[str, bytes] = {}
        self._dropped: list[str] = []  # since the last checkpoint
        self._unnamed: list[str] = []  # by the header in force, so they can go

    def put(self, name: str, value: bytes) -> None:
        """An entry has another value from now on."""
        copy = 1 - self.marks.get(name, 1) % 2
        sealed_value = sealed(value)
        self.marks[name] = int.from_bytes(sealed_value[:4], "little") * 2 + copy
        self._entries[f"{name}/{copy}"] = sealed_value

    def drop(self, name: str) -> None:
        """There is no such entry any more."""
        if self.marks.pop(name, None) is not None:
            self._dropped.append(name)

    def written(self) -> dict[str, bytes]:
        """What is to be written, once; an empty value removes an entry."""
        gone = [name for name in self._unnamed if name not in self.marks]
        removed = {f"{name}/{copy}": b"" for name in gone for copy in (0, 1)}
        self._unnamed, self._dropped = self._dropped, []
        entries, self._entries = self._entries, {}
        return removed | entries

    def read(self, get: Get, name: str) -> bytes:
        """The value of an entry. Raises DamagedCheckpoint."""
        if name not in self.marks:
            raise DamagedCheckpoint(f"{name} is not in the header")
        check, copy = divmod(self.marks[name], 2)
        found = get(f"{name}/{copy}")
        if found is None:
            raise DamagedCheckpoint(f"{name}/{copy} is missing")
        value = opened(f"{name}/{copy}", found)
        if int.from_bytes(found[:4], "little") != check:
            raise DamagedCheckpoint(f"{name}/{copy} is not the one that the header means")
        return value


def sealed(value: bytes) -> bytes:
    """A value with its checksum before it."""
    return zlib.crc32(value).to_bytes(4, "little") + value


def opened(name: str, value: bytes) -> bytes:
    """The inverse of `sealed`. Raises DamagedCheckpoint."""
    content = value[4:]
    if zlib.crc32(content).to_bytes(4, "little") != value[:4]:
        raise DamagedCheckpoint(f"{name} is damaged")
    return content
