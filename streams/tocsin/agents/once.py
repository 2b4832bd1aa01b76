"""Something that several agents share, and that can be made only within their event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Once(Generic[_T]):
    """Made by the first who asks; all others wait for it. A failure is raised to each of them."""

    def __init__(self, make: Callable[[], Awaitable[_T]]) -> None:
        self._make = make
        self._made: asyncio.Future[_T] | None = None

    async def get(self) -> _T:
        """The one there is."""
        if self._made is None:
            self._made = asyncio.ensure_future(self._make())
        return await asyncio.shield(self._made)

    def if_made(self) -> _T | None:
        """The one there is, or None before it is ready."""
        made = self._made
        if made is None or not made.done() or made.cancelled() or made.exception() is not None:
            return None
        return made.result()
