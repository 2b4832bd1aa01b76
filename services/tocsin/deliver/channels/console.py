"""The console: one readable block on standard output for each notification."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, TextIO

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tocsin.deliver.message import Message
from tocsin.deliver.protocol import (
    ChannelType,
    Outgoing,
    Receipt,
    Transient,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import visible

_WIDTH = 96


class ConsoleSettings(ChannelSettings):
    """Nothing of its own."""


async def send(settings: ConsoleSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Print the message; a reader that does not read holds up nothing but this channel."""
    block = render(outgoing.message, colour=transport.output.isatty())
    try:
        async with asyncio.timeout(settings.timeout_s):
            await transport.printing.run(partial(_write, transport.output, block))
    except TimeoutError:
        raise Transient(f"the console took nothing within {settings.timeout_s:g} s") from None
    except (OSError, ValueError):
        raise Transient("the console is closed") from None
    return Receipt("printed")


def _write(output: TextIO, block: str) -> None:
    try:
        descriptor = output.fileno()
    except io.UnsupportedOperation:
        output.write(block)
        output.flush()
        return
    # Past Python's buffer: a thread that is blocked with the buffer's lock in hand would crash the end of the process.
    left = memoryview(block.encode(output.encoding or "utf-8", "backslashreplace"))
    while left:
        left = left[os.write(descriptor, left) :]


def render(message: Message, *, colour: bool = False) -> str:
    """The block as text; control characters of strangers are shown as escapes."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for fact in message.facts:
        facts.add_row(_text(fact.name), _text(fact.value))
    if message.labels:
        facts.add_row("Where", _text(", ".join(f"{label.name}={label.value}" for label in message.labels)))
    facts.add_row("Alert", _text(message.link))
    if message.runbook:
        facts.add_row("Runbook", _text(message.runbook))
    lines = [_text(line) for line in message.summary]
    title = Text(visible(f" {message.state.upper()} {message.severity}: {message.title} "), style="bold")
    panel = Panel(
        Group(*lines, Text(), facts), title=title, title_align="left", border_style=message.colour, padding=(0, 1)
    )
    output = io.StringIO()
    Console(file=output, width=_WIDTH, force_terminal=colour, highlight=False, emoji=False).print(panel)
    return output.getvalue()


def _text(text: str) -> Text:
    return Text(visible(text))


def _preview(_settings: ConsoleSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return {"text": render(outgoing.message)}


CHANNEL = ChannelType(ConsoleSettings, send, secret_fields(), destination_fields(), _preview)
