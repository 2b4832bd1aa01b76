"""`tocsin incidents`: alerts that correlation rules joined, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import run
from tocsin.cli.options import Config, Format, Output, Url, command, group, one_of
from tocsin.cli.printing import print_items, print_value, remark

app = group("incidents", "Incidents, which correlation rules make of alerts: list, show.")
_COLUMNS = {
    "ID": "id", "STATUS": "status", "SEVERITY": "severity", "CORRELATION": "correlation", "LABELS": "labels",
    "ALERTS": "count", "ACTIVE": "active", "SINCE": "started_at",
}  # fmt: skip
_ALERTS = {
    "FINGERPRINT": "fingerprint", "RULE": "rule_id", "SEVERITY": "severity", "JOINED": "joined_at", "ENDED": "ended_at",
    "WHY": "why",
}  # fmt: skip
_STATES = ("open", "resolved")
Id = Annotated[str, typer.Argument(metavar="ID", help="From `tocsin incidents list`.")]


@command(app, "tocsin incidents list --status open", name="list")
def list_(
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help="open or resolved.")] = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """List incidents: those that are open first, then the latest."""
    one_of(status, _STATES, "--status")
    print_items(run(_items(config, url, {"status": status} if status else {})), _COLUMNS, output, "no incidents")


@command(app, "tocsin incidents show 3f2a9c0d1b4e5f60")
def show(incident_id: Id, output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """Show the alerts of an incident, and why each of them belongs to it."""
    found = run(_one(config, url, incident_id))
    if output is not Output.TABLE:
        print_value(found, output)
        return
    print_items(found["alerts"], _ALERTS, output, "no alerts")
    if found["truncated"]:
        remark(f"and {found['truncated']} more")


async def _items(config: Path | None, url: str | None, params: dict[str, str]) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/incidents", params)


async def _one(config: Path | None, url: str | None, incident_id: str) -> Any:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        return await client.get(f"/incidents/{in_path(incident_id)}")
