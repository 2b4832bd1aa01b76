"""Options that several commands share, and the decorator that makes a command of a function."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tocsin.cli.failures import wrong_usage

F = TypeVar("F", bound=Callable[..., Any])


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Config = Annotated[
    Path | None,
    typer.Option("--config", envvar="TOCSIN_CONFIG", metavar="FILE", help="Settings file (YAML)."),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="How to print the data.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Address of the API; by default that of a running `tocsin up`."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where state is kept; by default the XDG data directory."),
]
Comment = Annotated[str, typer.Option("--comment", "-m", metavar="TEXT", help="What to note beside it.")]


def group(name: str, text: str) -> typer.Typer:
    """A group of commands; called without one, it prints its help."""
    return typer.Typer(
        name=name,
        help=text,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def command(app: typer.Typer, *examples: str, name: str | None = None, hidden: bool = False) -> Callable[[F], F]:
    """Registers a command; its help ends with the examples."""
    shown = "\b\nExample:\n" + "\n".join(f"  {example}" for example in examples)
    return app.command(name, epilog=shown, hidden=hidden, context_settings={"help_option_names": ["--help", "-h"]})


def one_of(text: str, known: Sequence[str], option: str) -> str:
    """The text, which may name several with commas; ends the command when one is not known."""
    for part in text.split(",") if text else ():
        if part.strip() not in known:
            near = difflib.get_close_matches(part.strip(), known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"use {', '.join(known)}"
            wrong_usage(f"{option}: {part.strip()!r} is not known; {mend}")
    return text


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping; ends the command when one has no `=`."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            wrong_usage(f"{option}: {text!r} has no value; write {option} {name or 'NAME'}=VALUE")
        found[name] = value
    return found
