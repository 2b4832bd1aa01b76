"""The root of the command line, and the one place where failures become lines and exit codes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tocsin.cli import (
    alerts,
    audit,
    backtest,
    baselines,
    channels,
    dlq,
    escalations,
    incidents,
    kafka,
    oncall,
    produce,
    routes,
    rules,
    services,
    settings,
    shadows,
    silences,
    sim,
    topics,
)
from tocsin.cli.failures import as_failure
from tocsin.terminal import escape

app = typer.Typer(
    name="tocsin",
    help="Kafka-native alerting: metrics on topics become alerts, notifications and a history.",
    epilog="\b\nExample:\n  tocsin up --demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

services.register(app)
produce.register(app)
backtest.register(app)
sim.register(app)
oncall.register(app)
for group in (
    kafka.app,
    topics.app,
    rules.app,
    baselines.app,
    shadows.app,
    alerts.app,
    channels.app,
    routes.app,
    silences.app,
):
    app.add_typer(group)
for group in (audit.app, incidents.app, *escalations.APPS, dlq.app, settings.app):
    app.add_typer(group)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tocsin {version('tocsin')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Kafka-native alerting: metrics on topics become alerts, notifications and a history."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    # What cannot be reached is said once, by us; services set up their own logs.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app(args=list(arguments), prog_name="tocsin", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        failure = as_failure(error)
        if failure is None:
            raise  # a bug: its traceback is for us
        for line in failure.lines:
            print(escape(line), file=sys.stderr)
        return int(failure.code)
    return 0
