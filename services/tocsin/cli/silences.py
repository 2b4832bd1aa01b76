"""`tocsin silences`: keep alerts quiet for a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.failures import run, wrong_usage
from tocsin.cli.options import Comment, Config, Format, Output, Url, command, group, one_of
from tocsin.cli.printing import print_items, print_value, remark

app = group("silences", "Silences and maintenance windows: list, preview, add, edit, expire, calendar.")
_COLUMNS = {
    "ID": "id", "STATE": "state", "MATCH": "match", "UNTIL": "ends_at", "BY": "created_by", "COMMENT": "comment",
}  # fmt: skip
_ALERTS = {"RULE": "rule_id", "SEVERITY": "severity", "STATUS": "status", "LABELS": "labels", "SINCE": "starts_at"}
_PLANNED = {
    "BEGIN": "begin",
    "END": "end",
    "SILENCE": "silence",
    "MATCH": "match",
    "BY": "created_by",
    "COMMENT": "comment",
}
_STATES = ("active", "pending", "expired")
_WINDOW = "1h"
Id = Annotated[str, typer.Argument(metavar="ID", help="From `tocsin silences list`.")]
Matchers = Annotated[list[str], typer.Argument(metavar="MATCHER...", help="Such as service=api or 'host=~web.*'.")]
Length = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long; an hour unless said.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339; now unless said.")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="RFC 3339; 30 days later unless said.")]
Rule = Annotated[str, typer.Option("--rrule", metavar="RRULE", help="Windows that come again, each --for long.")]
Cron = Annotated[str, typer.Option("--cron", metavar="CRON", help="The same, as in '0 2 * * sun'.")]
Zone = Annotated[
    str, typer.Option("--zone", metavar="ZONE", help="Whose clock on the wall counts for those; UTC unless said.")
]
Ending = Annotated[bool, typer.Option("--ends-with-alert", help="Only what fires already; the next time counts again.")]
Broad = Annotated[bool, typer.Option("--allow-broad", help="Even if it hits most alerts.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who wants it.")]
Before = Annotated[str, typer.Option("--remind-before", metavar="DURATION", help="Say so, so long before it ends.")]
Remind = Annotated[list[str], typer.Option("--remind", metavar="CHANNEL", help="Whom; else those of the routes.")]


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
    cron: Cron = "",
    zone: Zone = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Show which alerts a silence would hit, now and within the last day, and its next windows; changes nothing."""
    body = {"match": match, **_new(_times(length, begin, rrule, cron, zone))}
    found = run(_sent(config, url, "POST", "/silences/preview", body))
    if output is not Output.TABLE:
        print_value(found, output)
        return
    print_items(found["alerts"], _ALERTS, output, "it would hit no alert of the last day")
    _say(found)


@command(
    app,
    "tocsin silences add service=api --for 2h -m 'deployment'",
    "tocsin silences add host=db1 --rrule 'FREQ=WEEKLY;BYDAY=SU' --for 1h --zone Europe/Berlin -m backup",
    "tocsin silences add service=api --for 1d --remind-before 1h --remind team-chat",
)
def add(
    match: Matchers,
    length: Length = "",
    begin: From = "",
    rrule: Rule = "",
    cron: Cron = "",
    zone: Zone = "",
    ends_with_alert: Ending = False,
    allow_broad: Broad = False,
    remind_before: Before = "",
    remind: Remind = [],  # noqa: B006 - typer makes a new one
    by: By = "",
    comment: Comment = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Add a silence, and say what it hits."""
    body = {"match": match, **_new(_times(length, begin, rrule, cron, zone)), **_reminder(remind_before, remind)}
    body |= {"ends_with_alert": ends_with_alert, "allow_broad": allow_broad, "created_by": by, "comment": comment}
    _show(run(_sent(config, url, "POST", "/silences", body)), output)


@command(app, "tocsin silences edit 3f2a9c0d1b4e5f60 --for 2h", "tocsin silences edit 3f2a9c0d1b4e5f60 'host=~db.*'")
def edit(
    silence_id: Id,
    match: Annotated[list[str], typer.Argument(metavar="[MATCHER...]", help="Others than before.")] = [],  # noqa: B006
    length: Annotated[str, typer.Option("--for", metavar="DURATION", help="Its end, from now or its start.")] = "",
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339.")] = "",
    rrule: Rule = "",
    cron: Cron = "",
    zone: Zone = "",
    allow_broad: Broad = False,
    remind_before: Before = "",
    remind: Remind = [],  # noqa: B006 - typer makes a new one
    no_reminder: Annotated[bool, typer.Option("--no-reminder", help="Nobody is reminded any more.")] = False,
    once: Annotated[bool, typer.Option("--once", help="It comes again no more; say --for how long.")] = False,
    by: By = "",
    comment: Comment = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Change what is said of a silence that is not over; the rest stays."""
    if no_reminder and remind_before:
        wrong_usage("--no-reminder: does not go with --remind-before; leave one out")
    if once and (rrule or cron or not length):
        wrong_usage("--once: goes with --for, and with neither --rrule nor --cron")
    change = {**_times(length, begin, rrule, cron, zone), **_reminder(remind_before, remind)}
    change |= {name: None for name, is_gone in (("reminder", no_reminder), ("schedule", once)) if is_gone}
    said = {"match": match, "created_by": by, "comment": comment, "allow_broad": allow_broad}
    change |= {name: value for name, value in said.items() if value}
    if not change:
        wrong_usage("nothing to change: say what, such as --for 2h")
    _show(run(_changed(config, url, silence_id, change)), output)


@command(app, "tocsin silences calendar", "tocsin silences calendar --to 2027-01-01T00:00:00Z")
def calendar(
    begin: From = "", end: To = "", output: Format = Output.TABLE, url: Url = None, config: Config = None
) -> None:
    """List when silences are in force, from now for 30 days unless said."""
    params = {name: value for name, value in (("from", begin), ("to", end)) if value}
    found = run(_got(config, url, "/silences/calendar", params))
    print_items(found["items"], _PLANNED, output, "no silence is in force")


@command(app, "tocsin silences expire 3f2a9c0d1b4e5f60")
def expire(silence_id: Id, url: Url = None, config: Config = None) -> None:
    """End a silence now; one that is over is removed."""
    run(_delete(config, url, silence_id))
    remark(f"silence {silence_id} expired")


def _times(length: str, begin: str, rrule: str, cron: str, zone: str) -> dict[str, Any]:
    if rrule and cron:
        wrong_usage("--cron: does not go with --rrule; leave one out")
    if zone and not (rrule or cron):
        wrong_usage("--zone: says whose clock counts for --rrule or --cron; give one, or write the zone into --from")
    found: dict[str, Any] = {"starts_at": begin} if begin else {}
    if rrule or cron:
        when = {"rrule": rrule} if rrule else {"cron": cron}
        how = {"duration": length, "location": zone}
        found["schedule"] = {**when, **{name: value for name, value in how.items() if value}}
    elif length:
        found["duration"] = length
    return found


def _new(times: dict[str, Any]) -> dict[str, Any]:
    """Windows are an hour long unless said."""
    return {**times, "schedule": {"duration": _WINDOW, **times["schedule"]}} if "schedule" in times else times


def edited(before: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A silence with what is said of it anew; the rest stays. How long means each window, of one that comes again."""
    body, stands = {**before, **change}, before.get("schedule")
    if change.get("schedule"):
        kept = {name: stands[name] for name in ("duration", "location")} if stands else {"duration": _WINDOW}
        body["schedule"] = {**kept, **change["schedule"]}
    elif "duration" in change and stands and "schedule" not in change:
        body["schedule"] = {**stands, "duration": body.pop("duration")}
    elif "duration" in change:
        del body["ends_at"]
    if change.get("reminder"):
        body["reminder"] = {**(before.get("reminder") or {}), **change["reminder"]}
    return body


def _reminder(before: str, channels: list[str]) -> dict[str, Any]:
    if channels and not before:
        wrong_usage("--remind: goes with --remind-before; say how long before the end")
    if not before:
        return {}
    return {"reminder": {"before": before, "notifications": channels} if channels else {"before": before}}


def _show(made: dict[str, Any], output: Output) -> None:
    if output is Output.TABLE:
        print(made["id"])
        _say(made["preview"])
    else:
        print_value(made, output)


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


async def _sent(config: Path | None, url: str | None, method: str, path: str, body: dict[str, Any]) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return (await client.content(method, path, body)).body


async def _got(config: Path | None, url: str | None, path: str, params: dict[str, str]) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.get(path, params)


async def _changed(config: Path | None, url: str | None, silence_id: str, change: dict[str, Any]) -> Any:
    """Only if nobody else changed it meanwhile."""
    from tocsin.cli.client import connect, in_path

    path = f"/silences/{in_path(silence_id)}"
    async with connect(config, url) as client:
        before = await client.content("GET", path)
        headers = {"If-Match": before.etag or "*"}
        return (await client.send("PUT", path, edited(before.body, change), headers=headers)).body


async def _delete(config: Path | None, url: str | None, silence_id: str) -> None:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        await client.send("DELETE", f"/silences/{in_path(silence_id)}")
