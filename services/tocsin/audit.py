"""The audit trail: how entries are sealed, and whether all that is on the topic is what was written. Pure."""

from __future__ import annotations

import hashlib
import hmac
from array import array
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from tocsin.schemas.audit import AuditEntry

_DIGITS: Final = 16
_LATEST: Final = 10_000
PURPOSE: Final = "audit trail"
"""What the key of seals is derived for."""


def sealed(entry: AuditEntry, key: bytes) -> AuditEntry:
    """The entry under its seal."""
    return msgspec.structs.replace(entry, seal=_seal(entry, key))


def _seal(entry: AuditEntry, key: bytes) -> str:
    text = msgspec.json.encode(msgspec.structs.replace(entry, seal=""))
    return hmac.new(key, text, hashlib.sha256).hexdigest()


class _Seals:
    """Seals that were seen, by their first eight bytes: of what is asked for, nobody without the key can choose them.
    A million take 8 MB; almost always one of the latest is asked for."""

    def __init__(self) -> None:
        self._latest: dict[int, None] = {}
        self._all = array("Q")

    def add(self, seal: str) -> None:
        """One more."""
        number = int(seal[:_DIGITS], 16)
        self._all.append(number)
        self._latest[number] = None
        if len(self._latest) > _LATEST:
            del self._latest[next(iter(self._latest))]

    def __contains__(self, seal: str) -> bool:
        try:
            number = int(seal[:_DIGITS], 16)
        except ValueError:
            return False
        return number in self._latest or bool((np.frombuffer(self._all, np.uint64) == number).any())


@dataclass(slots=True)
class Check:
    """Whether a trail is whole: `take` all records in order, then `end`. `fault` names the first one that is not as it
    was written, empty while there is none."""

    key: bytes
    entries: int = 0
    fault: str = ""
    last_seal: str = ""
    _chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    _seals: _Seals = field(default_factory=_Seals)

    def take(self, offset: int, value: bytes | None) -> None:
        """The record at an offset; behind the first fault nothing is said."""
        if self.fault:
            return
        self.entries += 1
        try:
            entry = msgspec.json.decode(value or b"", type=AuditEntry)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.fault = f"offset {offset}: is no entry ({error})"
            return
        why = self._why_not(entry)
        if why:
            self.fault = f"offset {offset}: {why} ({entry.at}, {entry.actor}, {entry.action})"
            return
        self._chains[entry.chain] = entry.number, entry.seal
        self._seals.add(entry.seal)
        self.last_seal = entry.seal

    def _why_not(self, entry: AuditEntry) -> str:
        if not hmac.compare_digest(entry.seal, _seal(entry, self.key)):
            return "the seal is not that of this content, or of another key"
        number, previous = self._chains.get(entry.chain, (0, ""))
        if entry.number != number + 1 or entry.previous != previous:
            return f"entry {entry.number} of its process follows entry {number}: something is missing, or stands twice"
        if entry.seen and entry.seen not in self._seals:
            return "it follows an entry that is not there"
        return ""

    def end(self, known: str) -> None:
        """Nothing comes any more; `known` is the seal of an entry that must be there, empty for none."""
        if known and not self.fault and known not in self._seals:
            self.fault = f"the end: {self.entries} entries are there, and the last one that is known is not among them"
