"""`tocsin kafka start` and `stop`: the embedded broker alone."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tocsin.cli.failures import Failure
from tocsin.cli.options import Config, DataDir, command, group
from tocsin.cli.printing import remark

app = group("kafka", "The embedded Kafka broker alone.")


@command(app, "tocsin kafka start --port 9092")
def start(
    port: Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="Port on 127.0.0.1.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Start the broker; it runs on until `tocsin kafka stop`."""
    from tocsin.config import context, load
    from tocsin.kafka.embedded import EmbeddedKafka, StartStep

    loaded = load(config, os.environ)
    if data_dir is not None:
        loaded = loaded.replaced("data_dir", data_dir, "--data-dir")
    if port is not None:
        loaded = loaded.replaced("kafka.embedded_port", port, "--port")

    def progress(step: StartStep) -> None:
        remark(f"Kafka: {step.value} ...") if step is not StartStep.READY else None

    broker = EmbeddedKafka(
        context(loaded).data_dir / "kafka", loaded.settings.kafka.embedded_port, detached=True, on_progress=progress
    )
    broker.start()
    print(broker.bootstrap_servers)
    remark(f"Kafka runs on {broker.bootstrap_servers} (process {broker.pid}); stop it with `tocsin kafka stop`")


@command(app, "tocsin kafka stop")
def stop(data_dir: DataDir = None, config: Config = None) -> None:
    """Stop the broker that `tocsin kafka start` started."""
    from tocsin.config import context, load
    from tocsin.kafka.detached import stop_detached

    loaded = load(config, os.environ)
    if data_dir is not None:
        loaded = loaded.replaced("data_dir", data_dir, "--data-dir")
    folder = context(loaded).data_dir / "kafka"
    if not stop_detached(folder):
        raise Failure(f"no broker runs in {folder}; `tocsin kafka start` starts one")
    remark("Kafka stopped")
