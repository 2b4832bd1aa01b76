"""`tocsin rules`: check files, and make the API's rules those of the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.editing import add_edit
from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

if TYPE_CHECKING:
    from tocsin.cli.client import ApiClient

_OUTCOMES = {"CHANGE": "change", "ALERTS": "alerts", "FALSE": "false_positives", "OTHERS": "other_alerts"}
app = group("rules", "Alert rules: check files, apply and edit them, list what is in force.")
_COLUMNS = {
    "ID": "id", "SEVERITY": "severity", "METRIC": "metric_type", "CONDITION": "shown", "FOR": "duration",
    "CHANNELS": "notifications", "ENABLED": "enabled",
}  # fmt: skip


@command(app, "tocsin rules check rules/api.yaml")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="YAML or JSON; - for standard input.")],
) -> None:
    """Validate rules; every mistake with its file, line, column and field. Says what has no effect, too."""
    from tocsin.cli.files import read_rules
    from tocsin.cli.rulebooks import cross_checked, doubtful

    found = cross_checked(read_rules(files))
    remark(*doubtful(found))
    remark(f"{len(found)} {'rule is' if len(found) == 1 else 'rules are'} valid")


@command(app, "tocsin rules test tests/api.yaml", "tocsin rules test tests/*.yaml --run 'disk full' --output json")
def test(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML or JSON; - for standard input.")],
    names: Annotated[
        list[str] | None, typer.Option("--run", metavar="NAME", help="Only tests with this in their name; repeatable.")
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Run tests of rules: series in, alerts and notifications expected at given times. Needs no server."""
    from tocsin.cli.rule_tests import read_suites, run_suites, said

    outcomes = run_suites(read_suites(files), names or [])
    if output is Output.TABLE:
        for line in said(outcomes):
            print(line)
    else:
        print_value([one.document() for one in outcomes], output)
    failed = sum(bool(one.differences) for one in outcomes)
    summary = f"{len(outcomes) - failed} passed, {failed} failed"
    if failed:
        raise Failure(summary)
    remark(summary)


@command(app, "tocsin rules apply rules/ --dry-run", "tocsin rules apply rules/ --prune")
def apply(
    files: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="YAML or JSON; - for standard input.")],
    prune: Annotated[bool, typer.Option("--prune", help="Delete the rules that the files lack.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the difference, change nothing.")] = False,
    url: Url = None,
    config: Config = None,
) -> None:
    """Make the rules in force those of the files; a second time changes nothing."""
    from tocsin.cli.applying import apply as run_apply
    from tocsin.cli.client import connect
    from tocsin.cli.rulebooks import read_sound_rules

    found = read_sound_rules(files)
    run(run_apply(connect(config, url), found, prune=prune, dry_run=dry_run))


@command(app, "tocsin rules list --output json", name="list")
def list_(output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """List the rules in force."""
    rules = run(_list(config, url))
    for rule in rules if output is Output.TABLE else ():
        rule["shown"] = _condition(rule)
    print_items(rules, _COLUMNS, output, "no rules yet; `tocsin rules apply FILE` adds some")


@command(app, "tocsin rules get high_response_time")
def get(
    rule_id: Annotated[str, typer.Argument(metavar="ID")],
    output: Format = Output.YAML,
    url: Url = None,
    config: Config = None,
) -> None:
    """Print one rule."""
    print_value(run(_one(config, url, rule_id)), output)


add_edit(app, "rules", "high_response_time")


@command(app, "tocsin rules delete high_response_time")
def delete(rule_id: Annotated[str, typer.Argument(metavar="ID")], url: Url = None, config: Config = None) -> None:
    """Delete one rule; its alerts are resolved."""
    run(_delete(config, url, rule_id))
    remark(f"rule {rule_id} deleted")


@command(app, "tocsin rules suggest odd --since 14d")
def suggest(
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="A rule that learns.")],
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back to look.")] = "7d",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Milder settings for a rule whose alerts were called false positives; changes nothing."""
    import json

    found = run(_one(config, url, rule_id, "/suggestions", {"since": since}))
    if output is not Output.TABLE:
        print_value(found, output)
        return
    outcomes = [{"change": {}, **found["now"]}, *found["candidates"]] if found["now"] else []
    shown = [{**one, "change": json.dumps(one["change"]) if one["change"] else "as it is"} for one in outcomes]
    print_items(shown, _OUTCOMES, output, "nothing to compare")
    remark(found["detail"] or f"suggested: {json.dumps(found['suggestion'])}; try it with `tocsin shadow start` first")


def _condition(rule: dict[str, Any]) -> str:
    """`avg 1m > 1000`, `absence`."""
    from tocsin.schemas.rule import operator_symbol

    window, kind = rule.get("window") or {}, rule.get("condition", "threshold")
    length = window.get("size") or window.get("gap") or window.get("samples")
    over = f"{rule.get('aggregation') or 'avg'} {length} " if window else ""
    limits = [level.get("threshold") for level in rule.get("levels") or [rule]]
    known = [f"{limit:g}" for limit in limits if limit is not None]
    against = f"{operator_symbol(rule.get('operator', ''))} {', '.join(known)}" if known else ""
    return " ".join(part for part in ("" if kind == "threshold" else kind, over.strip(), against) if part)


async def _list(config: Path | None, url: str | None) -> list[dict[str, Any]]:
    async with _client(config, url) as client:
        return await client.items("/rules")


async def _one(
    config: Path | None, url: str | None, rule_id: str, more: str = "", query: dict[str, str] | None = None
) -> Any:
    from tocsin.cli.client import in_path

    async with _client(config, url) as client:
        return await client.get(f"/rules/{in_path(rule_id)}{more}", query or {})


async def _delete(config: Path | None, url: str | None, rule_id: str) -> None:
    from tocsin.cli.client import in_path

    async with _client(config, url) as client:
        await client.send("DELETE", f"/rules/{in_path(rule_id)}")


def _client(config: Path | None, url: str | None) -> ApiClient:
    from tocsin.cli.client import connect

    return connect(config, url)
