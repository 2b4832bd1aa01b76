"""`tocsin oncall`: who is on call, now or at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import run
from tocsin.cli.options import Config, Format, Output, Url, command
from tocsin.cli.printing import print_items

_COLUMNS = {
    "SCHEDULE": "schedule", "ON CALL": "person", "NAME": "name", "CONTACTS": "contacts", "SINCE": "since",
    "UNTIL": "until", "NEXT": "next",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "tocsin oncall", "tocsin oncall primary --at 2026-12-24T18:00:00+01:00")(oncall)


def oncall(
    schedules: Annotated[
        list[str] | None, typer.Argument(metavar="SCHEDULE", help="Only by these; all unless said.")
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="RFC 3339; now unless said.")] = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Say who is on call by each schedule, now or at a time, until when, and who follows."""
    params = {"at": at} if at else {}
    if schedules:
        params["schedule"] = ",".join(schedules)
    empty = "no schedules yet; `tocsin schedules apply FILE` adds some"
    print_items(run(_items(config, url, params)), _COLUMNS, output, empty)


async def _items(config: Path | None, url: str | None, params: dict[str, str]) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/oncall", params)
