"""`tocsin dlq`: what could not be processed or delivered, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

app = group("dlq", "Dead letters: what could not be processed or delivered, and why.")
_COLUMNS = {
    "ID": "id", "AT": "at", "REASON": "reason", "CHANNEL": "channel_id", "FROM": "topic", "PARTITION": "partition",
    "OFFSET": "offset", "PUT BACK": "redriven_at", "DETAIL": "detail",
}  # fmt: skip
Id = Annotated[str, typer.Argument(metavar="ID", help="From `tocsin dlq list`.")]


@command(app, "tocsin dlq list --limit 20", name="list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most to print.")] = 100,
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """List dead letters with their reasons, the latest first."""
    from tocsin.schemas.instant import format_instant

    items = run(_items(config, url, limit))
    if output is Output.TABLE:
        items = [{**item, "at": format_instant(item.get("at_ms") or 0)} for item in items]
    print_items(items, _COLUMNS, output, "no dead letters")


@command(app, "tocsin dlq show 0-42")
def show(entry_id: Id, output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
    """Print one dead letter with its headers and its content."""
    for item in run(_items(config, url, None)):
        if str(item.get("id")) == entry_id:
            print_value(item, output)
            return
    raise Failure(f"ID: there is no dead letter {entry_id!r}; `tocsin dlq list` shows all")


@command(app, "tocsin dlq redrive 0-42")
def redrive(
    entry_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="From `tocsin dlq list`.")],
    url: Url = None,
    config: Config = None,
) -> None:
    """Put dead letters back on the topics they came from, to be tried again.

    One that says that an alert fires stays where it is, if its channel was told since then that the alert is over.
    """
    done = run(_redrive(config, url, entry_ids))
    for entry_id, why in done["overtaken"].items():
        remark(f"{entry_id} left: {why}")
    remark(f"{done['redriven']} put back")


async def _items(config: Path | None, url: str | None, limit: int | None) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/dlq", limit=limit)


async def _redrive(config: Path | None, url: str | None, entry_ids: list[str]) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return (await client.send("POST", "/dlq/redrive", {"ids": entry_ids})).body
