"""`tocsin routes`: who is told about which alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.editing import add_edit_all
from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, Format, Output, Url, command, group, pairs
from tocsin.cli.printing import as_yaml, print_items, print_value, remark

app = group("routes", "Routes: check files, try labels, apply, edit, import from Alertmanager.")
File = Annotated[Path, typer.Argument(metavar="FILE", help="YAML or JSON; - for standard input.")]
_COLUMNS = {"CHANNELS": "channels", "GROUP": "group_labels", "ROUTE": "route", "PLACE": "path"}


@command(app, "tocsin routes show")
def show(output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
    """Print the routes in force, and what is doubtful in them."""
    print_value(run(_call(config, url, "GET", "/routes")), output)


@command(app, "tocsin routes check routes.yaml")
def check(
    file: File, strict: Annotated[bool, typer.Option("--strict", help="Doubts count as mistakes.")] = False
) -> None:
    """Validate a file: every mistake, and what is hardly meant, such as routes that no alert reaches."""
    from tocsin.cli.routing_files import read_routing

    routing, doubts = read_routing(file)
    if doubts and strict:
        raise Failure(*doubts)
    remark(*doubts)
    count = sum(1 for _ in routing.route.walk())
    remark(f"{count} {'route is' if count == 1 else 'routes are'} valid")


@command(app, "tocsin routes test alertname=slow severity=critical --file routes.yaml", name="test")
def try_(
    labels: Annotated[list[str], typer.Argument(metavar="NAME=VALUE...", help="alertname and severity too.")],
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The routes of a file, not those in force.")
    ] = None,
    expect: Annotated[
        str, typer.Option("--expect", metavar="CHANNELS", help="Exit code 1 unless these are told, with commas.")
    ] = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Say which routes take an alert with some labels, and whom they tell. Sends nothing."""
    from tocsin.cli.routing_files import read_routing
    from tocsin.engine.route.tree import taken_by

    given = pairs(labels, "LABELS")
    if file is not None:
        found = taken_by(read_routing(file)[0], given)
    else:
        found = run(_call(config, url, "POST", "/routes/test", {"labels": given}))["routes"]
    print_items(found, _COLUMNS, output, "no route takes it")
    told = sorted({channel for one in found for channel in one["channels"]})
    wanted = sorted({name.strip() for name in expect.split(",") if name.strip()})
    if wanted and told != wanted:
        raise Failure(f"told are {', '.join(told) or 'nobody'}, expected were {', '.join(wanted)}")


@command(app, "tocsin routes apply routes.yaml --dry-run", "tocsin routes apply routes.yaml")
def apply(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the difference, change nothing.")] = False,
    url: Url = None,
    config: Config = None,
) -> None:
    """Make the routes of a file those in force, at once; a second time changes nothing."""
    from tocsin.cli.client import connect
    from tocsin.cli.routing_files import apply as run_apply
    from tocsin.cli.routing_files import read_routing

    routing, doubts = read_routing(file)
    remark(*doubts)
    remark(*run(run_apply(connect(config, url), routing, doubts, dry_run=dry_run)))


add_edit_all(app, "routes")


@command(app, "tocsin routes import alertmanager.yml --channels channels.yaml > routes.yaml", name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="ALERTMANAGER_FILE")],
    channels: Annotated[
        Path | None, typer.Option("--channels", metavar="FILE", help="Where to write the receivers, as channels.")
    ] = None,
) -> None:
    """Turn an Alertmanager configuration into routes, with the same notifications at the same times."""
    from pydantic import ValidationError

    from tocsin.alertmanager_file import imported
    from tocsin.alertmanager_parts import NotAlertmanager
    from tocsin.cli.routing_files import whole_document, written
    from tocsin.schemas.problems import field_errors
    from tocsin.schemas.route import Routing

    document = whole_document(file)
    try:
        found = imported(document.value)
        routing = Routing.model_validate(found.routing)
    except NotAlertmanager as error:
        raise Failure(f"{file}: {error}") from None
    except ValidationError as error:
        raise Failure(*(f"{file}: {one}" for one in field_errors(error, Routing))) from None
    if channels is not None:
        try:
            channels.touch(mode=0o600)  # it may hold credentials
            channels.write_text(as_yaml({"channels": found.channels}), "utf-8")
        except OSError as error:
            raise Failure(
                f"--channels: {channels}: cannot be written ({error.strerror}); choose another path"
            ) from None
    print(as_yaml(written(routing)), end="")
    remark(*found.remarks)


@command(app, "tocsin routes delete")
def delete(url: Url = None, config: Config = None) -> None:
    """Go back to no routes: only rules that name channels themselves are told."""
    run(_call(config, url, "DELETE", "/routes"))
    remark("routes deleted")


async def _call(config: Path | None, url: str | None, method: str, path: str, body: Any = None) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        if method == "DELETE":
            return await client.send(method, path)
        if method == "GET":
            return await client.get(path)
        return (await client.content(method, path, body)).body
