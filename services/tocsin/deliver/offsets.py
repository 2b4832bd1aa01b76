"""Which offsets are done, though they end out of order: what may be committed is the first that is not. Pure."""

from __future__ import annotations


class OffsetLedger:
    """The offsets of one partition from `begin` to `finish`."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._pending: dict[int, None] = {}  # in order, since offsets only grow

    def begin(self, offset: int) -> bool:
        """Take an offset on; False if it was taken on before."""
        if self._next is not None and offset < self._next:
            return False
        self._next = offset + 1
        self._pending[offset] = None
        return True

    def finish(self, offset: int) -> None:
        """It is delivered, dead-lettered or known to be."""
        assert offset in self._pending, offset
        del self._pending[offset]

    @property
    def pending(self) -> int:
        """How many are taken on and not finished."""
        return len(self._pending)

    @property
    def committable(self) -> int | None:
        """Everything before this offset is finished; None before the first."""
        return next(iter(self._pending), self._next)
