"""`up`, one command for each service, and `bench`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.failures import Failure, run, wrong_usage
from tocsin.cli.options import Config, DataDir, Url, command

if TYPE_CHECKING:
    from tocsin.config import Loaded
    from tocsin.context import Context


def register(app: typer.Typer) -> None:
    """Adds the commands to the root."""
    command(app, "tocsin up --demo", "tocsin up --data-dir ./data --port 8081")(up)
    command(app, "tocsin evaluate")(evaluate)
    command(app, "tocsin route")(route)
    command(app, "tocsin deliver", "tocsin deliver email slack")(deliver)
    command(app, "TOCSIN_API_PORT=8081 tocsin api")(api)
    command(app, "tocsin bench --quick --json figures.json")(bench)
    command(app, "tocsin demo --url http://127.0.0.1:8080", hidden=True)(demo)


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Also send realistic metrics with incidents in them.")] = False,
    data_dir: DataDir = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65_535, help="Port of the API and the dashboard.")
    ] = None,
    config: Config = None,
) -> None:
    """Start everything, supervised: embedded Kafka (unless bootstrap servers are set), all services, the dashboard."""
    from tocsin.supervisor.up import Options
    from tocsin.supervisor.up import up as run_up

    loaded = _load(config)
    if data_dir is not None:
        loaded = loaded.replaced("data_dir", data_dir, "--data-dir")
    if port is not None:
        loaded = loaded.replaced("api.port", port, "--port")
    code = run_up(loaded, Options(demo=demo))
    if code:
        raise typer.Exit(code)


def evaluate(config: Config = None) -> None:
    """Judge metrics by the rules; run as many as wanted."""
    context = _prepared("evaluate", config)
    from tocsin.workers import run_evaluate

    run_evaluate(context)


def route(config: Config = None) -> None:
    """Turn verdicts into alerts and decide who is told; run as many as wanted."""
    context = _prepared("route", config)
    from tocsin.workers import run_route

    run_route(context)


def deliver(
    channel_types: Annotated[
        list[str] | None, typer.Argument(metavar="[CHANNEL_TYPE]...", help="Only these, such as email; all by default.")
    ] = None,
    config: Config = None,
) -> None:
    """Send notifications: by email, to Slack, to webhooks, to the console."""
    from tocsin.schemas.topics import CHANNEL_TYPES

    for channel_type in channel_types or ():
        if channel_type not in CHANNEL_TYPES:
            wrong_usage(f"CHANNEL_TYPE: {channel_type!r} is not one of {', '.join(CHANNEL_TYPES)}")
    context = _prepared("deliver", config)
    from tocsin.deliver.service import run as run_deliver

    run(run_deliver(context, tuple(channel_types or ())))


def api(config: Config = None) -> None:
    """Serve the HTTP API and the dashboard."""
    context = _prepared("api", config)
    from tocsin.api.service import run as run_api

    run(run_api(context))


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer samples: an impression in two minutes.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there as JSON, too.")
    ] = None,
) -> None:
    """Measure the whole path on this machine and print the figures beside those it must reach."""
    from tocsin.bench.run import run as run_bench

    if json_file is not None:
        try:
            json_file.open("ab").close()  # better now than after minutes of measuring
        except OSError as error:
            wrong_usage(f"--json: {json_file} cannot be written ({error.strerror}); choose another path")
    run_bench(quick=quick, json_file=json_file)


def demo(url: Url = None, config: Config = None) -> None:
    """Set up demo rules and a console channel, and send metrics with incidents until stopped."""
    from tocsin.cli.client import address, token
    from tocsin.demo.service import run as run_demo

    loaded = _load(config)
    context = _prepared("demo", config)
    run(run_demo(context, address(loaded, url), token(loaded)))


def _load(config: Path | None) -> Loaded:
    from tocsin.config import load

    return load(config, os.environ)


def _prepared(service: str, config: Path | None) -> Context:
    """Settings, logs and topics, in this order; below a supervisor the topics are there already."""
    from tocsin import readiness
    from tocsin.config import context
    from tocsin.kafka.admin import ensure_topics
    from tocsin.logs import configure
    from tocsin.supervisor.declared import declared_topics

    loaded = _load(config)
    configure(loaded.settings.log, service)
    found = context(loaded)
    if readiness.VARIABLE not in os.environ:
        problems = run(ensure_topics(found.connection, declared_topics(found.settings)))
        if problems:
            raise Failure(*map(str, problems))
    return found
