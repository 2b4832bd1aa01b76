"""`tocsin channels`: where notifications go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin.cli.editing import add_edit
from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

app = group("channels", "Channels: list, apply from files, edit, preview, test.")
_COLUMNS = {"ID": "id", "TYPE": "type", "NAME": "name", "ENABLED": "shown"}
Id = Annotated[str, typer.Argument(metavar="ID", help="From `tocsin channels list`.")]


@command(app, "tocsin channels list", name="list")
def list_(output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """List the channels; credentials are never shown."""
    items = run(_items(config, url))
    for item in items if output is Output.TABLE else ():
        item["shown"] = (item.get("config") or {}).get("enabled", True)
    print_items(items, _COLUMNS, output, "no channels yet; `tocsin channels apply FILE` adds some")


@command(app, "tocsin channels get ops-mail")
def get(channel_id: Id, output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
    """Print one channel, its credentials masked."""
    print_value(run(_one(config, url, channel_id)), output)


@command(app, "tocsin channels apply channels.yaml")
def apply(
    files: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="YAML or JSON; - for standard input.")],
    url: Url = None,
    config: Config = None,
) -> None:
    """Create or replace the channels of the files; none of them where anything in the files is wrong."""
    from tocsin.cli.files import in_order, read_channels
    from tocsin.cli.previewing import mistakes_in

    found = read_channels(files)
    if mistakes := [line for placed in found for line in mistakes_in(placed)]:
        raise Failure(*in_order(mistakes))
    run(_apply(config, url, [(placed.where, placed.entry.model_dump(mode="json")) for placed in found]))


add_edit(app, "channels", "ops-mail")


@command(app, "tocsin channels delete ops-mail")
def delete(
    channel_id: Id,
    force: Annotated[bool, typer.Option("--force", help="Even if it is named, but by a person or policy.")] = False,
    url: Url = None,
    config: Config = None,
) -> None:
    """Delete one channel that nothing names."""
    run(_delete(config, url, channel_id, force=force))
    remark(f"channel {channel_id} deleted")


@command(app, "tocsin channels test ops-mail", name="test")
def test_(channel_id: Id, output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
    """Send a test notification, and say what the receiver answered; exit code 1 if it was not delivered."""
    answer = run(_post(config, url, "/channels/test", {"channel": channel_id}))
    print_value(answer, output)
    if not isinstance(answer, dict) or answer.get("outcome") != "delivered":
        raise Failure(f"the test of {channel_id} was not delivered; the answer above says why")
    if answer.get("closing", answer).get("outcome") != "delivered":
        raise Failure(f"the incident of the test of {channel_id} may still be open: its end was not delivered")


@command(
    app,
    "tocsin channels preview ops-mail",
    "tocsin channels preview team-chat --rule slow --resolved",
    "tocsin channels preview team-chat --file channels.yaml --output json",
)
def preview(
    channel_id: Id,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="The channel as it stands there, not as it is.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", metavar="FILE", help="A text in Jinja syntax, to be tried; - reads it.")
    ] = None,
    alert: Annotated[str, typer.Option("--alert", metavar="FINGERPRINT", help="For this alert.")] = "",
    rule: Annotated[str, typer.Option("--rule", metavar="ID", help="For an alert of this rule.")] = "",
    resolved: Annotated[bool, typer.Option("--resolved", help="For the end of the alert.")] = False,
    output: Format = Output.YAML,
    url: Url = None,
    config: Config = None,
) -> None:
    """Print what a channel would send, and send nothing; exit code 1 if a template fails on the alert.

    The alert is a sample, unless one is named.
    """
    from tocsin.cli.previewing import draft_of, in_place, template_of

    placed = draft_of(channel_id, file) if file else None
    wanted: dict[str, Any] = {"draft": placed.entry.model_dump(mode="json")} if placed else {"channel": channel_id}
    wanted |= {"template": template_of(template)} if template else {}
    wanted |= {name: value for name, value in {"alert": alert, "rule": rule, "resolved": resolved}.items() if value}
    answer = run(_post(config, url, "/channels/preview", wanted))
    print_value(answer, output)
    if isinstance(answer, dict) and answer.get("problems"):
        raise Failure(*in_place(answer["problems"], placed, template))


async def _items(config: Path | None, url: str | None) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items("/channels")


async def _one(config: Path | None, url: str | None, channel_id: str) -> Any:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        return await client.get(f"/channels/{in_path(channel_id)}")


async def _delete(config: Path | None, url: str | None, channel_id: str, *, force: bool) -> None:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        await client.send("DELETE", f"/channels/{in_path(channel_id)}{'?force=true' if force else ''}")


async def _apply(config: Path | None, url: str | None, channels: list[tuple[str, dict[str, Any]]]) -> None:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        known = {item["id"] for item in await client.items("/channels")}
        for where, channel in channels:
            try:
                if channel["id"] in known:
                    await client.send("PUT", f"/channels/{in_path(channel['id'])}", channel)
                else:
                    await client.send("POST", "/channels", channel)
            except Failure as failure:
                raise Failure(*(f"{where}: {line}" for line in failure.lines), code=failure.code) from None
            print(f"{'replaced' if channel['id'] in known else 'created'} {channel['id']}")
    known |= {channel["id"] for _, channel in channels}
    for where, channel in channels:
        name = channel["config"].get("fallback")
        if name and name not in known:
            remark(f"{where}: config.fallback: there is no channel {name!r} yet; add it, or name another")


async def _post(config: Path | None, url: str | None, path: str, body: dict[str, Any]) -> Any:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return (await client.content("POST", path, body)).body
