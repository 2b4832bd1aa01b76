"""What ends a command: an exit code, and one line for each thing that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class ExitCode(IntEnum):
    """What `$?` says."""

    FINE = 0
    NO = 1
    USAGE = 2
    UNREACHABLE = 3


class Failure(Exception):
    """Ends the command with these lines on standard error."""

    def __init__(self, *lines: str, code: ExitCode = ExitCode.NO) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code


class NotFound(Failure):
    """The API has no such thing."""


def as_failure(error: Exception) -> Failure | None:
    """The failure that an error of tocsin's own means to a user; None for what is a bug."""
    from tocsin.api.service import ApiError
    from tocsin.config import ConfigError
    from tocsin.demo.service import DemoError, DemoUnreachable
    from tocsin.documents import DocumentError
    from tocsin.kafka.errors import KafkaStartError, KafkaUnreachable
    from tocsin.projection.database import DatabaseAddressError, DatabaseError
    from tocsin.supervisor.errors import UpError
    from tocsin.vault import VaultError

    if isinstance(error, Failure):
        return error
    if isinstance(error, ConfigError):
        return Failure(*error.lines, code=ExitCode.USAGE)
    if isinstance(error, KafkaUnreachable):
        return Failure(str(error), code=ExitCode.UNREACHABLE)
    if isinstance(error, KafkaStartError):
        return Failure(str(error), *error.log_tail[-5:])
    if isinstance(error, DatabaseAddressError | ApiError):
        return Failure(str(error), code=ExitCode.USAGE)
    if isinstance(error, DatabaseError | DemoUnreachable):
        return Failure(str(error), code=ExitCode.UNREACHABLE)
    if isinstance(error, DemoError | DocumentError | UpError | VaultError):
        return Failure(*str(error).splitlines())
    return None


def wrong_usage(line: str) -> NoReturn:
    """Ends the command: it was not called rightly."""
    raise Failure(line, code=ExitCode.USAGE)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs asynchronous work to its end."""
    return asyncio.run(work)
