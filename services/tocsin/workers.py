"""Starts the Faust workers with the settings in force. Each owns its process."""

import asyncio
from typing import Any

from faust import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from tocsin.agents.app import WorkerSettings
from tocsin.context import Context
from tocsin.kafka.admin import partition_counts
from tocsin.kafka.clients import KafkaConnection, client_arguments
from tocsin.readiness import announce_ready


def run_evaluate(context: Context) -> None:
    """Run ingest and evaluate until told to stop."""
    from tocsin.agents.evaluate_worker import EvaluateSettings, run
    from tocsin.engine.watermark import Timing

    settings = context.settings
    wanted = [*settings.metrics.topic_names, context.topics.samples]
    counts = asyncio.run(partition_counts(context.connection, wanted))
    evaluate = EvaluateSettings(
        metrics_topics=settings.metrics.topic_names,
        partitions=counts[context.topics.samples],
        max_ahead_ms=settings.metrics.max_ahead,
        checkpoint_ms=settings.evaluate.checkpoint_interval,
        tick_ms=settings.evaluate.tick_interval,
        timing=Timing(settings.evaluate.idle_after, settings.evaluate.quiet_after),
        most_series=settings.evaluate.max_series,
    )
    run(_worker(context, "evaluate"), evaluate, context.topics)


def run_route(context: Context) -> None:
    """Run lifecycle and route until told to stop."""
    from tocsin.agents.route_worker import RouteSettings, run

    counts = asyncio.run(partition_counts(context.connection, [context.topics.signals]))
    run(_worker(context, "route"), RouteSettings(partitions=counts[context.topics.signals]), context.topics)


def _worker(context: Context, name: str) -> WorkerSettings:
    connection, settings = context.connection, context.settings
    return WorkerSettings(
        group=context.group(name),
        bootstrap_servers=connection.bootstrap_servers,
        client=client_arguments(connection),
        data_dir=context.data_dir / name,
        prefix=context.topics.prefix,
        session_timeout_s=settings.kafka.session_timeout / 1_000,
        request_timeout_s=settings.kafka.request_timeout / 1_000,
        max_unpacked_bytes=settings.metrics.max_unpacked_bytes,
        log_level=settings.log.level,
        credentials=_credentials(connection),
        on_ready=announce_ready,
    )


def _credentials(connection: KafkaConnection) -> CredentialsT | None:
    context: Any = connection.ssl_context()
    if connection.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=connection.sasl_username,
            password=connection.sasl_password,
            mechanism=connection.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None
