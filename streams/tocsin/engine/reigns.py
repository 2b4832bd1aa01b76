"""Reigns: the times during which one process owns a partition, as texts that sort behind those before them."""

from typing import Final

FIRST: Final = b"%016x" % 0


def next_reign(last: bytes, generation: int) -> bytes:
    """Named by the group's generation, which only grows; a term before it grows when a group began anew."""
    term, before = int(last[:8], 16), int(last[8:], 16)
    return b"%08x%08x" % (term if generation > before else term + 1, generation)
