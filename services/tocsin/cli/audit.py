"""`tocsin audit`: who changed what, and whether all of it is still there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import ExitCode, run
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

app = group("audit", "The audit trail of what was changed through the API: list, verify.")
_COLUMNS = {"AT": "at", "ACTOR": "actor", "ACTION": "action", "TARGET": "target", "STATUS": "status"}
_SHOWN = 100


@command(app, "tocsin audit list --from 2026-12-01T00:00:00Z", name="list")
def list_(
    actor: Annotated[str, typer.Option("--actor", metavar="NAME", help="What one of them did.")] = "",
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="RFC 3339.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many, the latest first.")] = _SHOWN,
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """List what was changed, the latest first."""
    given = {"actor": actor, "from": begin, "to": end}
    items = run(_items(config, url, {name: value for name, value in given.items() if value}, limit))
    print_items(items, _COLUMNS, output, "nothing was changed")


@command(app, "tocsin audit verify")
def verify(output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """Say whether the trail is as it was written; the first entry that is altered, missing or forged is named."""
    found = run(_verdict(config, url))
    if output is not Output.TABLE:
        print_value(found, output)
    elif found["whole"]:
        remark(f"the audit trail is whole: {found['entries']} entries")
    else:
        remark(f"the audit trail is not whole: {found['fault']}")
    if not found["whole"]:
        raise typer.Exit(ExitCode.NO)


async def _items(config: Path | None, url: str | None, params: dict[str, str], limit: int) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/audit", params, limit)


async def _verdict(config: Path | None, url: str | None) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.get("/audit/verify")
