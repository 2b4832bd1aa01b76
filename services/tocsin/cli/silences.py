"""`tocsin silences`: keep alerts quiet for a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import run, wrong_usage
from tocsin.cli.options import Comment, Config, Format, Output, Url, command, group, one_of
from tocsin.cli.printing import print_items, print_value, remark

app = group("silences", "Silences and maintenance windows: list, preview, add, expire.")
_COLUMNS = {
    "ID": "id", "STATE": "state", "MATCH": "match", "UNTIL": "ends_at", "BY": "created_by", "COMMENT": "comment",
}  # fmt: skip
_ALERTS = {"RULE": "rule_id", "SEVERITY": "severity", "STATUS": "status", "LABELS": "labels", "SINCE": "starts_at"}
_STATES = ("active", "pending", "expired")
Id = Annotated[str, typer.Argument(metavar="ID", help="From `tocsin silences list`.")]
Matchers = Annotated[list[str], typer.Argument(metavar="MATCHER...", help="Such as service=api or 'host=~web.*'.")]
Length = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long; an hour unless said.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339; now unless said.")]
Rule = Annotated[
    str,
    typer.Option("--rrule", metavar="RRULE", help="Windows that come again, each --for long."),
]
Zone = Annotated[
    str, typer.Option("--zone", metavar="ZONE", help="Whose clock on the wall counts for --rrule; UTC unless said.")
]


@command(app, "tocsin silences list --state active", name="list")
def list_(
    state: Annotated[str, typer.Option("--state", metavar="STATE", help="active, pending or expired.")] = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """List the silences; those in force first."""
    one_of(state, _STATES, "--state")
    items = run(_items(config, url))
    shown = [item for item in items if not state or item["state"] in state.split(",")]
    print_items(shown, _COLUMNS, output, "no silences")


@command(app, "tocsin silences preview service=api", "tocsin silences preview host=db1 --rrule FREQ=DAILY --for 1h")
def preview(
    match: Matchers,
    length: Length = "",
    begin: From = "",
    rrule: Rule = "",
    zone: Zone = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Show which alerts a silence would hit, now and within the last day, and its next windows; changes nothing."""
    found = run(_post(config, url, "/silences/preview", _body(match, length, begin, rrule, zone)))
    if output is not Output.TABLE:
        print_value(found, output)
        return
    print_items(found["alerts"], _ALERTS, output, "it would hit no alert of the last day")
    _say(found)


@command(
    app,
    "tocsin silences add service=api --for 2h -m 'deployment'",
    "tocsin silences add host=db1 --rrule 'FREQ=WEEKLY;BYDAY=SU' --for 1h --zone Europe/Berlin -m backup",
)
def add(
    match: Matchers,
    length: Length = "",
    begin: From = "",
    rrule: Rule = "",
    zone: Zone = "",
    ends_with_alert: Annotated[
        bool, typer.Option("--ends-with-alert", help="Only what fires already; the next time counts again.")
    ] = False,
    allow_broad: Annotated[bool, typer.Option("--allow-broad", help="Even if it hits most alerts.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who wants it.")] = "",
    comment: Comment = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Add a silence, and say what it hits."""
    body = _body(match, length, begin, rrule, zone)
    body |= {"ends_with_alert": ends_with_alert, "allow_broad": allow_broad, "created_by": by, "comment": comment}
    made = run(_post(config, url, "/silences", body))
    if output is Output.TABLE:
        print(made["id"])
        _say(made["preview"])
    else:
        print_value(made, output)


@command(app, "tocsin silences expire 3f2a9c0d1b4e5f60")
def expire(silence_id: Id, url: Url = None, config: Config = None) -> None:
    """End a silence now; one that is over is removed."""
    run(_delete(config, url, silence_id))
    remark(f"silence {silence_id} expired")


def _body(match: list[str], length: str, begin: str, rrule: str, zone: str) -> dict[str, Any]:
    if zone and not rrule:
        wrong_usage("--zone: says whose clock counts for --rrule; give that too, or write the zone into --from")
    body: dict[str, Any] = {"match": match}
    if begin:
        body["starts_at"] = begin
    if rrule:
        body["schedule"] = {"rrule": rrule, "duration": length or "1h", "location": zone or "UTC"}
    elif length:
        body["duration"] = length
    return body


def _say(found: dict[str, Any]) -> None:
    remark(
        f"hits {found['active']} of {found['active_of']} active alerts, "
        f"and {found['last_day']} of {found['last_day_of']} of the last day"
    )
    windows = found["windows"]
    if len(windows) > 1:
        remark("next windows:", *(f"  {begin} to {end}" for begin, end in windows))


async def _items(config: Path | None, url: str | None) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/silences")


async def _post(config: Path | None, url: str | None, path: str, body: dict[str, Any]) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return (await client.content("POST", path, body)).body


async def _delete(config: Path | None, url: str | None, silence_id: str) -> None:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        await client.send("DELETE", f"/silences/{in_path(silence_id)}")
