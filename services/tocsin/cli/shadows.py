"""`tocsin shadow`: changed rules beside those in force, what they would add and remove, and the change itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.differences import DIFFERENCES, differences, said_of_totals
from tocsin.cli.failures import Failure, NotFound, run
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

if TYPE_CHECKING:
    from tocsin.cli.client import ApiClient
    from tocsin.cli.files import Found
    from tocsin.schemas.rule import Rule

app = group("shadow", "Changed rules beside those in force: what would be different, before it is.")
_RUNNING = {"RULE": "rule_id", "STATE": "state", "SINCE": "since", "UNTIL": "until"}
_COLUMNS = DIFFERENCES | {"NOTIFICATIONS": "notifications"}
_RuleId = Annotated[str, typer.Argument(metavar="ID")]


@command(app, "tocsin shadow start rules/api.yaml --for 1d", "tocsin shadow start rules/")
def start(
    files: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="YAML or JSON; - for standard input.")],
    length: Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long: up to 14d.")] = "1d",
    url: Url = None,
    config: Config = None,
) -> None:
    """Let the rules of files that differ from those in force run beside them; nobody is told what they say."""
    from tocsin.cli.rulebooks import read_sound_rules

    found = read_sound_rules(files)
    run(_start(_client(config, url), found, length))


@command(app, "tocsin shadow report high_response_time", "tocsin shadow report high_response_time --exit-code -o json")
def report(
    rule_id: _RuleId,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if there are differences.")] = False,
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Print the alerts that a candidate would add and remove, so far or by the end of its time."""
    found = run(_get(_client(config, url), rule_id))
    if output is Output.TABLE:
        print_items(differences(found), _COLUMNS, output, "no difference so far")
        remark(*_summary(found))
    else:
        print_value(found, output)
    totals = found["totals"]
    if exit_code and totals["only_current"] + totals["only_candidate"]:
        raise Failure(f"{rule_id} and its candidate differ")


@command(app, "tocsin shadow promote high_response_time")
def promote(
    rule_id: _RuleId,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the rule was changed since its candidate began.")
    ] = False,
    url: Url = None,
    config: Config = None,
) -> None:
    """Make the candidate the rule in force."""
    done = run(_promote(_client(config, url), rule_id, force))
    remark(f"rule {rule_id} is now its candidate, as revision {done['revision']}")


@command(app, "tocsin shadow stop high_response_time")
def stop(rule_id: _RuleId, url: Url = None, config: Config = None) -> None:
    """End a candidate's time in shadow; the rule stays as it is, and the report goes."""
    run(_stop(_client(config, url), rule_id))
    remark(f"the candidate of rule {rule_id} is gone")


@command(app, "tocsin shadow list --output json", name="list")
def list_(output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """List the candidates in shadow, and those whose report can still be read."""
    print_items(run(_list(_client(config, url))), _RUNNING, output, "none; `tocsin shadow start FILE` starts some")


def _summary(found: dict[str, Any]) -> list[str]:
    totals, told, judged = found["totals"], found["notifications"], found["judged"]
    lines = [
        f"{found['state']}, {found['since']} to {found['until']}; judged {judged['samples']} samples of "
        f"{judged['series']} series",
        f"{said_of_totals(found)}; notifications: {told['added']} added, {told['removed']} removed",
    ]
    if totals["unseen"]:
        lines.append(f"{totals['unseen']} left out, since they began before the candidate did")
    if found["current"] and found["current"]["changed"]:
        lines.append("the rule in force was changed since the candidate began")
    return lines


async def _start(client: ApiClient, found: Found[Rule], length: str) -> None:
    from tocsin.cli.applying import as_rule
    from tocsin.cli.client import in_path
    from tocsin.cli.rulebooks import cross_checked
    from tocsin.schemas.rule import Rule

    async with client:
        in_force = {item["id"]: as_rule(item) for item in await client.items("/rules")}
        known = {rule_id: rule if isinstance(rule, Rule) else None for rule_id, rule in in_force.items()}
        placed = [one.entry for one in cross_checked(found, known)]
        changed = [rule for rule in placed if in_force.get(rule.id) != rule]
        for rule in changed:
            body = {"rule": rule.document(), "for": length}
            done = await client.content("PUT", f"/rules/{in_path(rule.id)}/shadow", body)
            print(f"{rule.id} runs in shadow until {done.body['until']}")
    remark(f"{len(changed)} started, {len(placed) - len(changed)} as in force")


async def _get(client: ApiClient, rule_id: str) -> dict[str, Any]:
    from tocsin.cli.client import in_path

    async with client:
        found: dict[str, Any] = await client.get(f"/rules/{in_path(rule_id)}/shadow")
        return found


async def _promote(client: ApiClient, rule_id: str, force: bool) -> dict[str, Any]:
    from tocsin.cli.client import in_path

    async with client:
        path = f"/rules/{in_path(rule_id)}"
        try:
            tag = (await client.content("GET", path)).etag if force else None
        except NotFound:
            tag = None  # a candidate may be a rule that is new
        answer = await client.send("POST", f"{path}/shadow/promote", headers={"If-Match": tag} if tag else None)
        done: dict[str, Any] = answer.body
        return done


async def _stop(client: ApiClient, rule_id: str) -> None:
    from tocsin.cli.client import in_path

    async with client:
        await client.send("DELETE", f"/rules/{in_path(rule_id)}/shadow")


async def _list(client: ApiClient) -> list[dict[str, Any]]:
    async with client:
        return await client.items("/shadows")


def _client(config: Path | None, url: str | None) -> ApiClient:
    from tocsin.cli.client import connect

    return connect(config, url)
