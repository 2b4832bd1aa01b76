"""Waiting on a condition, with a deadline, instead of sleeping for a time that is always too short or too long."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_POLL_S = 0.02
_SHARE = 0.05  # of the time waited so far: who asks all the time takes the processor from those it waits for


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], deadline_s: float = ..., what: str = ..., poll_s: float = ...
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], deadline_s: float = ..., what: str = ..., poll_s: float = ...
) -> T: ...
async def eventually(
    condition: Callable[[], Any], deadline_s: float = 10.0, what: str = "", poll_s: float = _POLL_S
) -> Any:
    """Calls `condition` (plain or async) until its result is true, and returns that result.

    An AssertionError inside it counts as "not yet". It is asked every `poll_s`, and less often the longer it takes.
    Raises AssertionError, with the last result or failure, when the deadline passes first.
    """
    began = time.monotonic()
    while True:
        seen: object
        try:
            result = condition()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
            seen = value
        except AssertionError as failure:
            seen = failure
        waited_s = time.monotonic() - began
        if waited_s >= deadline_s:
            raise AssertionError(_verdict(what or _name(condition), deadline_s, seen))
        await asyncio.sleep(max(poll_s, _SHARE * waited_s))


def eventually_sync(condition: Callable[[], T], deadline_s: float = 10.0, what: str = "", poll_s: float = _POLL_S) -> T:
    """As `eventually`, for tests without an event loop."""
    began = time.monotonic()
    while True:
        seen: object
        try:
            value = condition()
            if value:
                return value
            seen = value
        except AssertionError as failure:
            seen = failure
        waited_s = time.monotonic() - began
        if waited_s >= deadline_s:
            raise AssertionError(_verdict(what or _name(condition), deadline_s, seen))
        time.sleep(max(poll_s, _SHARE * waited_s))


async def pause(seconds: float) -> None:
    """Let time pass: the pace of a load, or the moment of a fault. Never to wait for something."""
    await asyncio.sleep(seconds)


def _name(condition: Callable[..., object]) -> str:
    return getattr(condition, "__qualname__", repr(condition))


def _verdict(what: str, deadline_s: float, seen: object) -> str:
    return f"{what}: not within {deadline_s:g} s; last seen: {seen!r}"
