"""Pictures are drawn by a process of their own: drawing holds the interpreter's lock for some 60 ms, and whatever is
sent meanwhile would wait for it. The process is started for the first picture."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from types import TracebackType
from typing import Final, Self

from tocsin.deliver.drawing_child import LENGTH_BYTES

_CHILD: Final = "tocsin.deliver.drawing_child"
_KEPT: Final = ("LANG", "PATH", "HOME", "FONTCONFIG_PATH", "FONTCONFIG_FILE")
_MAX_BYTES: Final = 4 * 2**20


class Undrawable(Exception):
    """No picture came of it."""


class Drawing:
    """Draws one picture after the other."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def png(self, svg: str) -> bytes:
        """The picture. Raises Undrawable; the caller bounds the time."""
        async with self._one:
            try:
                return await self._drawn(svg.encode())
            except BaseException:
                await self._end()  # half an answer would be taken for the next one
                raise

    async def _drawn(self, svg: bytes) -> bytes:
        child = self._child if self._child is not None and self._child.returncode is None else await self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(len(svg).to_bytes(LENGTH_BYTES, "big") + svg)
            await child.stdin.drain()
            size = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "big")
            if not 0 < size <= _MAX_BYTES:
                raise Undrawable
            return await child.stdout.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            raise Undrawable from None

    async def _started(self) -> asyncio.subprocess.Process:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-B", "-m", _CHILD,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )  # fmt: skip
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
