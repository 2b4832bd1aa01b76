"""`tocsin produce`: JSON lines, CSV or influx line protocol to a metrics topic."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, command
from tocsin.cli.printing import remark

_SHOWN_MISTAKES = 20


class InputFormat(StrEnum):
    """What the input is written in."""

    JSON = "json"
    CSV = "csv"
    INFLUX = "influx"


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    command(
        app,
        """echo '{"name": "response_time", "value": 1500, "labels": {"service": "api"}}' | tocsin produce -""",
        "tocsin produce --topic metrics --format csv samples.csv",
    )(produce)


def produce(
    source: Annotated[str, typer.Argument(metavar="FILE_OR_-", help="A file, or - for standard input.")],
    topic: Annotated[str, typer.Option("--topic", metavar="T", help="By default the first metrics topic.")] = "",
    format_: Annotated[
        InputFormat | None, typer.Option("--format", help="By default what the file's name says, else JSON lines.")
    ] = None,
    config: Config = None,
) -> None:
    """Send samples to a metrics topic, keyed by series; wrong lines are named, and the others sent.

    JSON: a sample or an array of samples on each line. CSV: a header with name, value and, if wanted, timestamp and
    unit; every other column is a label. Influx: line protocol, one sample for each numeric field.
    """
    from tocsin.cli.samples import parsed
    from tocsin.cli.sending import send
    from tocsin.config import context, load
    from tocsin.supervisor.declared import metric_topics

    started = context(load(config, os.environ))
    name = topic or metric_topics(started.settings)[0]
    chosen = format_ or _by_suffix(source)
    mistakes: list[str] = []
    shown = "standard input" if source == "-" else source
    with _opened(source) as stream:
        samples = parsed(stream, chosen.value, lambda line, text: mistakes.append(f"{shown}:{line}: {text}"))
        sent = run(send(started.connection, name, samples))
    remark(f"{sent} {'sample' if sent == 1 else 'samples'} sent to {name}")
    if mistakes:
        more = len(mistakes) - _SHOWN_MISTAKES
        rest = [f"{shown}: and {more} more lines like these"] if more > 0 else []
        raise Failure(*mistakes[:_SHOWN_MISTAKES], *rest)


def _by_suffix(source: str) -> InputFormat:
    return {".csv": InputFormat.CSV, ".lp": InputFormat.INFLUX, ".influx": InputFormat.INFLUX}.get(
        Path(source).suffix, InputFormat.JSON
    )


def _opened(source: str) -> BinaryIO:
    if source == "-":
        return sys.stdin.buffer
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise Failure(f"{source}: cannot be read ({error.strerror}); check the path") from None
