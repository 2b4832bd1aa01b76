"""`tocsin baselines`: what rules that learn hold to be ordinary for a series, and learning anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli.drawing import draw
from tocsin.cli.failures import Failure, run, wrong_usage
from tocsin.cli.options import Config, Format, Output, Url, command, group
from tocsin.cli.printing import print_items, print_value, remark

if TYPE_CHECKING:
    from tocsin.charts import Chart
    from tocsin.cli.client import ApiClient

app = group("baselines", "What is ordinary for a series by rules that learn: show, reset.")
_COLUMNS = {
    "RULE": "rule_id", "AT": "at", "VALUE": "value", "EXPECTED": "expected", "FROM": "lower", "TO": "upper",
    "SCORE": "score",
}  # fmt: skip


@command(
    app,
    "tocsin baselines show 'latency{service=\"api\"}'",
    "tocsin baselines show 'latency{service=\"api\"}' --rule odd --since 7d --plot -",
)
def show(
    series: Annotated[str, typer.Argument(metavar="SERIES", help="Such as 'latency{service=\"api\"}'.")],
    rule: Annotated[str, typer.Option("--rule", metavar="ID", help="A rule that learns from it.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back to look.")] = "1d",
    plot: Annotated[str, typer.Option("--plot", metavar="FILE", help="A .png; - draws in the terminal.")] = "",
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """Print what is expected of a series now, and draw how that came about."""
    if plot and plot != "-" and not plot.endswith(".png"):
        wrong_usage(f"--plot: {plot!r} must end in .png, or be - for the terminal")
    found = run(_show(_client(config, url), series, {"since": since} | ({"rule": rule} if rule else {})))
    if output is Output.TABLE:
        print_items([{"rule_id": found["rule_id"], **found["latest"]}], _COLUMNS, output, "")
    else:
        print_value(found, output)
    if plot:
        draw(_chart(found), plot)


@command(app, "tocsin baselines reset odd")
def reset(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's id.")],
    url: Url = None,
    config: Config = None,
) -> None:
    """Let a rule forget what it learnt, and begin anew with the samples from now on."""
    at = run(_reset(_client(config, url), rule))
    remark(f"rule {rule} learns from {at} on")


def _chart(found: dict[str, Any]) -> Chart:
    import numpy as np

    from tocsin.charts import Chart, Corridor, Panel

    rows = np.array(found["points"], np.float64).reshape(-1, 6)
    at_ms = rows[:, 0].astype(np.int64)
    panel = Panel(
        found["series"], "with what was expected", at_ms, rows[:, 1], corridor=Corridor(rows[:, 3], rows[:, 4])
    )
    return Chart(f"Baseline of rule {found['rule_id']}", int(at_ms[0]), int(at_ms[-1]) + 1, (panel,))


async def _show(client: ApiClient, series: str, query: dict[str, str]) -> dict[str, Any]:
    from tocsin.cli.client import in_path

    async with client:
        found: dict[str, Any] = await client.get(f"/baselines/{in_path(series)}", query)
        return found


async def _reset(client: ApiClient, rule_id: str) -> str:
    from tocsin.cli.client import in_path

    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    async with client:
        path = f"/rules/{in_path(rule_id)}"
        rule = (await client.content("GET", path)).body
        if rule["condition"] not in ("anomaly", "baseline") and rule["threshold"] != "auto":
            raise Failure(f"rule {rule_id} learns nothing that could be forgotten")
        section = "anomaly" if rule["condition"] == "anomaly" else "baseline"
        await client.content("PATCH", path, {section: {"learn_from": at}})
    return at


def _client(config: Config, url: Url) -> ApiClient:
    from tocsin.cli.client import connect

    return connect(config, url)
