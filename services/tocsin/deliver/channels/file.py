"""A file of JSON lines, for log shippers: each line is written whole, to the file that has the name at that time.

So a file may be renamed at any time (logrotate, without `copytruncate`): the next line begins a new one.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from tocsin.deliver.event_body import event_body
from tocsin.deliver.protocol import (
    ChannelType,
    Outgoing,
    Permanent,
    Receipt,
    Transient,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value[:60]!r} is not a file's name; use letters, digits, . _ and -, and no folders")
    return value


class FileSettings(ChannelSettings):
    """The file's name; the folder is the operator's choice (`delivery.files_dir`)."""

    name: Annotated[str, AfterValidator(_name)] = "notifications.jsonl"


async def send(settings: FileSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Append one line, and wait until the disk has it."""
    if transport.files is None:
        raise Permanent("this process writes no files; set delivery.files_dir")
    path = transport.files / settings.name
    try:
        async with asyncio.timeout(settings.timeout_s):
            size = await transport.filing.run(partial(append, path, line_of(outgoing)))
    except TimeoutError:
        raise Transient(f"the disk took nothing within {settings.timeout_s:g} s") from None
    except OSError as error:
        raise Transient(f"{settings.name} cannot be written: {error.strerror}") from None
    return Receipt(f"{settings.name}, {size} bytes")


def line_of(outgoing: Outgoing) -> bytes:
    """The line; `id` is the same for every repeat."""
    return orjson.dumps({"id": outgoing.notification.id, **event_body(outgoing)}) + b"\n"


def append(path: Path, line: bytes) -> int:
    """Add a line, all of it or nothing; returns the size of the file. Blocks. Raises OSError."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    descriptor = os.open(path, _FLAGS, 0o640)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor).st_size
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        return before + len(line)
    finally:
        os.close(descriptor)


def _preview(settings: FileSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return {"name": settings.name, "line": orjson.loads(line_of(outgoing))}


CHANNEL = ChannelType(FileSettings, send, secret_fields(), destination_fields("name"), _preview, digests=False)
