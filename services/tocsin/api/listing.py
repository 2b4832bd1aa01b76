"""Pages of a list that is put in order here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.projection.queries import Item, Page, cursor_after, read_cursor


def listed(found: list[Item], place: Callable[[Item], tuple[int, str]], shown: Page) -> dict[str, Any]:
    """One page of them in the order of their places. Raises BadCursor.

    A cursor is a place: the entry that a page ended with may have another one, or none, before the next is asked for.
    """
    after = read_cursor(shown.cursor) if shown.cursor else None
    rest = sorted((one for one in found if after is None or place(one) > after), key=place)
    items = rest[: shown.limit]
    more = cursor_after(*place(items[-1])) if len(rest) > len(items) else None
    return {"items": items, "next_cursor": more, "total": len(found)}
