"""`tocsin people`, `tocsin schedules`, `tocsin escalations`: who can be told, who is when, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.editing import add_edit
from tocsin.cli.failures import run, wrong_usage
from tocsin.cli.options import Comment, Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

Files = Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="YAML or JSON; - for standard input.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="From `list`.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339; today unless said.")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="RFC 3339.")]
Shown = Callable[[dict[str, Any]], dict[str, Any]]
_SHIFTS = {"FROM": "starts_at", "TO": "ends_at", "ON CALL": "person", "BY": "source"}


def _group(kind: str, text: str, example: str, columns: Mapping[str, str], shown: Shown) -> typer.Typer:
    """The commands that all kinds have; `shown` makes what the columns name of an entry."""
    app = group(kind, text)
    _reading(app, kind, example, columns, shown)
    _writing(app, kind, example)
    add_edit(app, kind, example)
    return app


def _reading(app: typer.Typer, kind: str, example: str, columns: Mapping[str, str], shown: Shown) -> None:
    @command(app, f"tocsin {kind} list", name="list")
    def list_(output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
        """List all of them."""
        items = run(_items(config, url, f"/{kind}"))
        if output is Output.TABLE:
            items = [{**item, **shown(item)} for item in items]
        print_items(items, columns, output, f"no {kind} yet; `tocsin {kind} apply FILE` adds some")

    @command(app, f"tocsin {kind} get {example}")
    def get(entry_id: Id, output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
        """Print one."""
        print_value(run(_get(config, url, f"/{kind}/{_segment(entry_id)}")), output)

    @command(app, f"tocsin {kind} check oncall.yaml")
    def check(files: Files) -> None:
        """Validate files; every mistake with its file, line, column and field."""
        from tocsin.cli.escalation_files import checked, read

        found = checked(read(files, kind))
        counts = [f"{len(entries)} {name}" for name, entries in found.items()]
        remark(f"{', '.join(counts) or f'0 {kind}'} valid")


def _writing(app: typer.Typer, kind: str, example: str) -> None:
    @command(app, f"tocsin {kind} apply oncall.yaml --dry-run", f"tocsin {kind} apply oncall.yaml --prune")
    def apply(
        files: Files,
        prune: Annotated[
            bool, typer.Option("--prune", help="Delete what the files lack, of the kinds that they hold.")
        ] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the difference, change nothing.")] = False,
        url: Url = None,
        config: Config = None,
    ) -> None:
        """Make what is in force that of the files, which may hold people, schedules and escalations together."""
        from tocsin.cli.client import connect
        from tocsin.cli.escalation_files import apply as run_apply
        from tocsin.cli.escalation_files import checked, read

        found = read(files, kind)
        if any(one.mistakes for one in found.values()):
            checked(found)
        run(run_apply(connect(config, url), found, prune=prune, dry_run=dry_run))

    @command(app, f"tocsin {kind} delete {example}")
    def delete(entry_id: Id, url: Url = None, config: Config = None) -> None:
        """Delete one that nothing names."""
        run(_send(config, url, "DELETE", f"/{kind}/{_segment(entry_id)}"))
        remark(f"{kind} {entry_id} deleted")


def _person(item: dict[str, Any]) -> dict[str, Any]:
    contacts = [f"{one['channel']} ({one['min_severity']})" if one.get("min_severity") else one["channel"]
                for one in item["contacts"]]  # fmt: skip
    return {"shown": contacts}


def _schedule(item: dict[str, Any]) -> dict[str, Any]:
    layers = [f"{one['rotation']}: {' > '.join(one['people'])}" for one in item["layers"]]
    return {"shown": layers, "overrides": len(item["overrides"])}


def _policy(item: dict[str, Any]) -> dict[str, Any]:
    steps = [" + ".join(_target(one) for one in step["notify"]) for step in item["steps"]]
    return {"shown": " > ".join(steps)}


def _target(one: Any) -> str:
    return one if isinstance(one, str) else " ".join(f"{kind} {name}" for kind, name in one.items())


people = _group(
    "people", "People who can be on call, and what reaches them.", "anna",
    {"ID": "id", "NAME": "name", "CONTACTS": "shown"}, _person,
)  # fmt: skip
schedules = _group(
    "schedules", "On-call schedules: list, apply, preview, stand in, as a calendar.", "primary",
    {"ID": "id", "NAME": "name", "ZONE": "time_zone", "TURNS": "shown", "OVERRIDES": "overrides"}, _schedule,
)  # fmt: skip
policies = _group(
    "escalations", "Escalation policies: who is told, step by step, until somebody answers.", "page",
    {"ID": "id", "NAME": "name", "STEPS": "shown", "REPEAT": "repeat", "AT THE END": "at_end"}, _policy,
)  # fmt: skip
APPS = (people, schedules, policies)


@command(schedules, "tocsin schedules preview primary --from 2026-12-24T00:00:00Z --to 2027-01-02T00:00:00Z")
def preview(
    schedule_id: Id,
    begin: From = "",
    end: To = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Show who will be on call, two weeks from today unless said; as JSON or YAML layer by layer too."""
    found = run(_get(config, url, f"/schedules/{_segment(schedule_id)}/shifts", _span(begin, end)))
    if output is Output.TABLE:
        print_items(found["final"], _SHIFTS, output, "nobody")
    else:
        print_value(found, output)


@command(schedules, "tocsin schedules calendar primary > primary.ics")
def calendar(schedule_id: Id, begin: From = "", end: To = "", url: Url = None, config: Config = None) -> None:
    """Print a schedule as iCalendar, three months from today unless said."""
    print(run(_text(config, url, f"/schedules/{_segment(schedule_id)}/calendar.ics", _span(begin, end))), end="")


@command(people, "tocsin people calendar anna > anna.ics", name="calendar")
def own_calendar(person_id: Id, begin: From = "", end: To = "", url: Url = None, config: Config = None) -> None:
    """Print when somebody is on call by any schedule, as iCalendar, three months from today unless said."""
    print(run(_text(config, url, f"/people/{_segment(person_id)}/calendar.ics", _span(begin, end))), end="")


@command(
    schedules,
    "tocsin schedules override primary ben --until 2026-12-02T09:00:00+01:00 -m 'swapped with Anna'",
    "tocsin schedules override primary --remove ID",
)
def override(
    schedule_id: Id,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="Who is on call instead.")] = "",
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="RFC 3339; now unless said.")] = "",
    end: Annotated[str, typer.Option("--until", metavar="TIME", help="RFC 3339.")] = "",
    remove: Annotated[str, typer.Option("--remove", metavar="OVERRIDE", help="Take this one back.")] = "",
    comment: Comment = "",
    url: Url = None,
    config: Config = None,
) -> None:
    """Let somebody else be on call for a time, or take that back; prints the override's id."""
    path = f"/schedules/{_segment(schedule_id)}/overrides"
    if remove:
        run(_send(config, url, "DELETE", f"{path}/{_segment(remove)}"))
        remark(f"override {remove} removed")
        return
    if not person or not end:
        wrong_usage("PERSON, --until: say who stands in, and until when")
    body = {"person": person, "ends_at": end, "comment": comment} | ({"starts_at": begin} if begin else {})
    print(run(_send(config, url, "POST", path, body))["overrides"][-1]["id"])


def _span(begin: str, end: str) -> dict[str, str]:
    return {name: value for name, value in (("from", begin), ("to", end)) if value}


def _segment(text: str) -> str:
    from tocsin.cli.client import in_path

    return in_path(text)


async def _items(config: Path | None, url: str | None, path: str) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items(path)


async def _get(config: Path | None, url: str | None, path: str, params: dict[str, str] | None = None) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.get(path, params)


async def _text(config: Path | None, url: str | None, path: str, params: dict[str, str]) -> str:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.text(path, params)


async def _send(config: Path | None, url: str | None, method: str, path: str, body: Any = None) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return (await client.send(method, path, body)).body
