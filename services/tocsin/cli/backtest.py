"""`tocsin backtest`: what rules would have made of history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.agents.clock import clock_ms
from tocsin.cli.differences import DIFFERENCES, differences, said_of_totals
from tocsin.cli.drawing import draw
from tocsin.cli.failures import ExitCode, Failure, wrong_usage
from tocsin.cli.options import Config, Format, Output, command
from tocsin.cli.printing import print_items, print_value, remark

if TYPE_CHECKING:
    from tocsin.backtest.intake import Intake
    from tocsin.backtest.report import Report
    from tocsin.backtest.store import Store
    from tocsin.charts import Chart
    from tocsin.cli.progress import Progress

_ALERTS = {
    "RULE": "rule_id", "LABELS": "labels", "SEVERITY": "severity", "STARTED": "started_at", "FIRED": "fired_at",
    "RESOLVED": "resolved_at", "DURATION": "duration", "PEAK": "peak",
}  # fmt: skip
_TIMES = ("started_at", "fired_at", "resolved_at")
_RULES = {
    "RULE": "rule_id", "FIRED": "fired", "SERIES": "series", "PENDING ONLY": "pending_only", "LATE": "late_samples",
    "REFUSED SERIES": "refused_series",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    command(
        app,
        "tocsin backtest --rules rules.yaml --input history.csv --plot alerts.png",
        "tocsin backtest --rules rules/ --topic metrics --since 2h --output json",
        "tocsin backtest --rules new.yaml --against rules.yaml --input history.csv",
    )(backtest)


def backtest(
    rules: Annotated[list[Path], typer.Option("--rules", metavar="FILE", help="Rules, YAML or JSON; may be repeated.")],
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help=".jsonl or .csv, or .gz of one.")
    ] = None,
    topic: Annotated[str, typer.Option("--topic", metavar="T", help="A metrics topic instead of a file.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back on the topic: 2h.")] = "",
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="The metric of a CSV without names; else the file's name.")
    ] = "",
    as_written: Annotated[
        bool, typer.Option("--as-written", help="Keep the order of the input instead of that of event time.")
    ] = False,
    old_rules: Annotated[
        list[Path] | None, typer.Option("--against", metavar="FILE", help="Other rules, to print only what differs.")
    ] = None,
    plot: Annotated[str, typer.Option("--plot", metavar="FILE", help="A PNG; - draws in the terminal.")] = "",
    output: Format = Output.TABLE,
    config: Config = None,
) -> None:
    """Replay history through the engine, and print the alerts that would have fired. Nothing is sent.

    CSV has a header: name,value,timestamp and label columns, or just timestamp,value. Times without a zone are UTC.
    """
    from tocsin.backtest.intake import Intake
    from tocsin.backtest.store import Store
    from tocsin.cli.files import read_rules
    from tocsin.cli.progress import Progress
    from tocsin.cli.rulebooks import cross_checked

    _check(source, topic, since, plot, output)
    wanted = [placed.entry for placed in cross_checked(read_rules(rules))]
    others = [placed.entry for placed in cross_checked(read_rules(old_rules))] if old_rules else None
    intake = Intake(Store(as_written))
    with Progress() as progress:
        _read(intake, source, metric, topic, since, config, progress)
        report, chart = _judge(wanted, intake.store, as_written, bool(plot), progress)
        compared = _compared(report, others, intake.store, as_written, progress) if others is not None else None
    _print(report, intake, output, compared)
    if chart is not None:
        draw(chart, plot)
    elif plot:
        remark("--plot: nothing was drawn, since no alert fired")


def _check(source: Path | None, topic: str, since: str, plot: str, output: Output) -> None:
    if (source is None) is (not topic):
        wrong_usage("--input: name a file, or a topic with --topic, and not both")
    if bool(topic) is not bool(since):
        wrong_usage("--since: goes with --topic, such as --topic metrics --since 2h")
    if plot and plot != "-" and not plot.endswith(".png"):
        wrong_usage(f"--plot: {plot!r} must end in .png, or be - for the terminal")
    if plot == "-" and output is not Output.TABLE:
        wrong_usage("--plot: - goes with --output table only; name a .png file")


def _read(
    intake: Intake, source: Path | None, metric: str, topic: str, since: str, config: Path | None, progress: Progress
) -> None:
    from tocsin.backtest.errors import HistoryError
    from tocsin.backtest.files import read_file

    try:
        if source is not None:
            read_file(source, intake, metric or None, progress.reading)
        else:
            _read_topic(intake, topic, since, config, progress)
    except HistoryError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from None
    intake.store.close()


def _read_topic(intake: Intake, topic: str, since: str, config: Path | None, progress: Progress) -> None:
    import os

    from tocsin.backtest.topic import read_topic
    from tocsin.cli.failures import run
    from tocsin.config import context, load
    from tocsin.schemas.duration import parse_duration

    try:
        back_ms = parse_duration(since)
    except ValueError as error:
        wrong_usage(f"--since: {error}")
    started = context(load(config, os.environ))
    since_ms = clock_ms() - back_ms
    run(read_topic(started.connection, topic, since_ms, intake, progress.reading))


def _judge(
    rules: list[Any], store: Store, as_written: bool, with_plot: bool, progress: Progress
) -> tuple[Report, Chart | None]:
    from tocsin.backtest.plot import chart_of
    from tocsin.backtest.run import replay, traced

    report = replay(rules, store, as_written, lambda done: progress.judging(done, store.samples))
    if not with_plot or not report.alerts:
        return report, None
    found = traced(report, store, as_written, lambda done: progress.drawing(done, store.samples))
    return report, chart_of(found, report, store)


def _compared(report: Report, others: list[Any], store: Store, as_written: bool, progress: Progress) -> dict[str, Any]:
    from tocsin.backtest.against import against
    from tocsin.backtest.run import replay
    from tocsin.engine.comparison import document

    old = replay(others, store, as_written, lambda done: progress.judging(done, store.samples))
    return document(against(report, old))


def _print(report: Report, intake: Intake, output: Output, compared: dict[str, Any] | None) -> None:
    from tocsin.backtest.document import document

    body = document(report, intake)
    if output is not Output.TABLE:
        print_value(body if compared is None else {**body, "against": compared}, output)
        return
    if compared is None:
        shown = [{**alert, **{name: _short(alert[name]) for name in _TIMES}} for alert in body["alerts"]]
        print_items(shown, _ALERTS, output, "no alert would have fired")
        print_items(body["rules"], _RULES, output, "there are no rules")
    else:
        print_items(differences(compared), {"RULE": "rule_id", **DIFFERENCES}, output, "no difference")
        remark(said_of_totals(compared))
    totals = body["totals"]
    remark(
        f"samples: {totals['samples']}, series: {totals['series']}, alerts: {totals['alerts']}, "
        f"late samples: {totals['late_samples']}, dead letters: {totals['dead_letters']}"
    )
    for reason, entry in body["dead_letters"].items():
        remark(f"{entry['count']} refused ({reason}): {'; '.join(entry['examples'])}")
    if totals["alerts"] > len(body["alerts"]):
        remark(f"the first {len(body['alerts'])} alerts are shown")


def _short(instant: str | None) -> str | None:
    """`2026-03-02 11:25:00`: a table has no room for more."""
    return None if instant is None else instant[:19].replace("T", " ")
