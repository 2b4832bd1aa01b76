"""`tocsin alerts`: what fires, and what people do about it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from tocsin.cli.failures import run, wrong_usage
from tocsin.cli.options import Comment, Config, Format, Output, Url, command, group, one_of, pairs
from tocsin.cli.printing import print_items, print_value, remark

if TYPE_CHECKING:
    from tocsin.cli.client import Answer

app = group("alerts", "Alerts: list, show, explain, acknowledge, snooze, mark, resolve, trigger.")
_COLUMNS = {
    "STATUS": "status", "SEVERITY": "severity", "RULE": "rule_id", "LABELS": "labels", "VALUE": "value",
    "SINCE": "starts_at", "FINGERPRINT": "fingerprint",
}  # fmt: skip
_TOLD = {"AT": "at", "RECEIVER": "channel", "OF": "event", "OUTCOME": "outcome", "WHY": "why"}
# The command is on its topic, and the evaluators have not answered it within the API's patience.
_ACCEPTED = 202
_LATER = "`tocsin alerts show` says when it is; if it stays so, see whether `tocsin route` runs"
Fingerprint = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="From `tocsin alerts list`.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says it, if not the token's owner.")]
Length = Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long, such as 1h.")]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Until when (RFC 3339).")]
Labels = Annotated[list[str] | None, typer.Option("--label", "-l", metavar="NAME=VALUE", help="May be repeated.")]


@command(
    app,
    "tocsin alerts list --severity critical --label service=api",
    "tocsin alerts list --history --learns --type resolved --from 2026-12-01T00:00:00Z",
    name="list",
)
def list_(
    history: Annotated[bool, typer.Option("--history", help="Past transitions, not only what is active.")] = False,
    severity: Annotated[str, typer.Option("--severity", metavar="SEVERITY")] = "",
    status: Annotated[str, typer.Option("--status", metavar="STATUS")] = "",
    rule: Annotated[str, typer.Option("--rule", metavar="ID")] = "",
    label: Labels = None,
    category: Annotated[str, typer.Option("--category", metavar="CATEGORY")] = "",
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="Somewhere in names, labels and texts.")] = "",
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="Of the history: firing, resolved, ...")] = "",
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", metavar="FINGERPRINT", help="Of the history: of one alert.")
    ] = "",
    learns: Annotated[
        bool | None, typer.Option("--learns/--no-learns", help="Of the history: of rules that learn, or others.")
    ] = None,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Of the history (RFC 3339).")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Of the history (RFC 3339).")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="Most to print.")] = 100,
    output: Format = Output.TABLE,
    url: Url = None,
    config: Config = None,
) -> None:
    """List active alerts, or with --history the past."""
    from tocsin.schemas.alert import AlertStatus, AlertType

    one_of(severity, _severities(), "--severity")
    one_of(status, get_args(AlertStatus), "--status")
    one_of(kind, get_args(AlertType), "--type")
    of_history = {"type": kind, "fingerprint": fingerprint, "from": begin, "to": end}
    of_history["learns"] = "" if learns is None else str(learns).lower()
    if not history and (given := next((name for name, value in of_history.items() if value), "")):
        wrong_usage(f"--{given}: is of the history; add --history")
    wanted = {"severity": severity, "status": status, "rule_id": rule, "category": category, "q": text, **of_history}
    params = {name: value for name, value in wanted.items() if value}
    params |= {f"label.{name}": value for name, value in pairs(label or [], "--label").items()}
    path = "/alerts/history" if history else "/alerts/active"
    items = run(_items(config, url, path, params, limit))
    print_items(items, _COLUMNS, output, "no alerts" if history or params else "no active alerts")


@command(app, "tocsin alerts show 9f2c4e7a1b3d5f60")
def show(fingerprint: Fingerprint, output: Format = Output.YAML, url: Url = None, config: Config = None) -> None:
    """Print one alert with its timeline, evidence and deliveries."""
    print_value(run(_send(config, url, "GET", fingerprint, "")).body, output)


@command(app, "tocsin alerts explain 9f2c4e7a1b3d5f60")
def explain(fingerprint: Fingerprint, output: Format = Output.TABLE, url: Url = None, config: Config = None) -> None:
    """Say who was told of an alert, with the provider's answer, and who was not, and why."""
    from tocsin.cli.explaining import heading, rows

    found = run(_send(config, url, "GET", fingerprint, "")).body
    if output is not Output.TABLE:
        print_value({**found["explanation"], "alert": found["alert"]}, output)
        return
    remark(*heading(found["alert"], found["explanation"].get("escalation")))
    print_items(rows(found["explanation"]), _TOLD, output, "nobody was told of it, or was to be")


@command(
    app,
    "tocsin alerts ack 9f2c4e7a1b3d5f60 --comment 'rolling back'",
    "tocsin alerts ack 9f2c4e7a1b3d5f60 --for 4h --remind-every 1h",
    "tocsin alerts ack 9f2c4e7a1b3d5f60 --false-positive",
)
def ack(
    fingerprint: Fingerprint,
    length: Length = "",
    until: Until = "",
    remind_every: Annotated[
        str, typer.Option("--remind-every", metavar="DURATION", help="Tell channels as often that it still fires.")
    ] = "",
    is_false: Annotated[
        bool, typer.Option("--false-positive", help="Nothing was wrong; for `tocsin rules suggest`.")
    ] = False,
    by: By = "",
    comment: Comment = "",
    url: Url = None,
    config: Config = None,
) -> None:
    """Acknowledge a firing alert: somebody takes care; with --for or --until, for a while."""
    body = {"duration": length, "until": until, "remind_every": remind_every, "by": by, "comment": comment}
    body["reason"] = "false_positive" if is_false else ""
    _act(config, url, fingerprint, "acknowledge", body)


@command(
    app,
    "tocsin alerts mark 9f2c4e7a1b3d5f60 --comment 'a deploy'",
    "tocsin alerts mark 9f2c4e7a1b3d5f60 --real --started 2026-12-01T10:00:00Z",
)
def mark(
    fingerprint: Fingerprint,
    real: Annotated[bool, typer.Option("--real", help="It was right after all.")] = False,
    started: Annotated[
        str, typer.Option("--started", metavar="TIME", help="Which episode, by `starts_at`; the latest unless given.")
    ] = "",
    by: By = "",
    comment: Comment = "",
    url: Url = None,
    config: Config = None,
) -> None:
    """Say that an alert was false, for `tocsin rules suggest`; it may be over, and stays as it is."""
    verdict = "real" if real else "false_positive"
    said = {"verdict": verdict, "starts_at": started, "by": by, "comment": comment}
    body = {name: text for name, text in said.items() if text}
    found = run(_send(config, url, "POST", fingerprint, "/feedback", body)).body
    remark(f"{fingerprint} of {found['starts_at']} is marked as {verdict}")


@command(app, "tocsin alerts unack 9f2c4e7a1b3d5f60")
def unack(fingerprint: Fingerprint, by: By = "", comment: Comment = "", url: Url = None, config: Config = None) -> None:
    """Take an acknowledgement or a snooze back."""
    _act(config, url, fingerprint, "unacknowledge", {"by": by, "comment": comment})


@command(app, "tocsin alerts snooze 9f2c4e7a1b3d5f60 --for 2h")
def snooze(
    fingerprint: Fingerprint,
    length: Length = "",
    until: Until = "",
    by: By = "",
    comment: Comment = "",
    url: Url = None,
    config: Config = None,
) -> None:
    """Put a firing alert off; it is told again at the end if it still fires, or at once if it gets worse."""
    if not length and not until:
        wrong_usage("--for: is missing; say for how long, such as --for 1h, or --until when")
    body = {"duration": length, "until": until, "by": by, "comment": comment}
    _act(config, url, fingerprint, "snooze", body)


@command(app, "tocsin alerts resolve 9f2c4e7a1b3d5f60")
def resolve(
    fingerprint: Fingerprint, by: By = "", comment: Comment = "", url: Url = None, config: Config = None
) -> None:
    """End an alert by hand."""
    _act(config, url, fingerprint, "resolve", {"by": by, "comment": comment})


@command(
    app,
    "tocsin alerts trigger high_response_time --label service=api --value 1500",
    "tocsin alerts trigger high_response_time --drill --for 15m",
)
def trigger(
    rule_id: Annotated[str, typer.Argument(metavar="RULE_ID", help="A known rule gives the rest its defaults.")],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Title; an alert without a rule needs one.")] = "",
    severity: Annotated[str, typer.Option("--severity", metavar="SEVERITY")] = "",
    label: Labels = None,
    annotation: Annotated[list[str] | None, typer.Option("--annotation", metavar="NAME=VALUE")] = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    category: Annotated[str, typer.Option("--category", metavar="CATEGORY")] = "",
    value: Annotated[float | None, typer.Option("--value", metavar="NUMBER")] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", metavar="NUMBER")] = None,
    notify: Annotated[
        list[str] | None, typer.Option("--notify", metavar="CHANNEL", help="Whom to tell; repeatable.")
    ] = None,
    policy: Annotated[str, typer.Option("--escalation-policy", metavar="ID", help="How to go on after that.")] = "",
    drill: Annotated[
        bool, typer.Option("--drill", help="An exercise: marked in every message, left out of statistics.")
    ] = False,
    length: Annotated[str, typer.Option("--for", metavar="DURATION", help="Resolve it by itself after that.")] = "",
    by: By = "",
    comment: Comment = "",
    output: Format = Output.YAML,
    url: Url = None,
    config: Config = None,
) -> None:
    """Raise an alert by hand."""
    one_of(severity, _severities(), "--severity")
    for option, number in (("--value", value), ("--threshold", threshold)):
        if number is not None and not math.isfinite(number):
            wrong_usage(f"{option}: {number} is not finite; write a number such as 1500")
    body: dict[str, Any] = {"rule_id": rule_id, "name": name, "severity": severity, "value": value}
    body |= {"labels": pairs(label or [], "--label"), "annotations": pairs(annotation or [], "--annotation")}
    body |= {"drill": drill, "duration": length, "by": by, "comment": comment, "description": description}
    body |= {"category": category, "threshold": threshold, "notifications": notify, "escalation_policy": policy}
    body = {field: entry for field, entry in body.items() if entry not in (None, "", {}, []) and entry is not False}
    answer = run(_send(config, url, "POST", "trigger", "", body))
    print_value(answer.body, output)
    if answer.status == _ACCEPTED:
        remark(f"the alert is not raised yet: {_LATER}")


def _severities() -> tuple[str, ...]:
    from tocsin.schemas.rule import Severity

    return tuple(severity.value for severity in Severity)


def _act(config: Path | None, url: str | None, fingerprint: str, action: str, said: dict[str, str]) -> None:
    body = {name: text for name, text in said.items() if text}
    answer = run(_send(config, url, "POST", fingerprint, f"/{action}", body))
    if answer.status == _ACCEPTED:
        remark(f"told to {action} {fingerprint}, which has not happened yet: {_LATER}")
    else:
        remark(f"{fingerprint} is {answer.body.get('status')}")


async def _items(config: Path | None, url: str | None, path: str, params: dict[str, str], limit: int) -> list[Any]:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.items(path, params, limit)


async def _send(config: Path | None, url: str | None, method: str, name: str, action: str, body: Any = None) -> Answer:
    from tocsin.cli.client import connect, in_path

    async with connect(config, url) as client:
        return await client.content(method, f"/alerts/{in_path(name)}{action}", body)
