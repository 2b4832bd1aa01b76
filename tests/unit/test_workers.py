"""What the workers are started with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tocsin.agents.evaluate_worker import EvaluateSettings
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.settings import MetricsSettings, Settings
from tocsin.schemas.topics import Topics
from tocsin.workers import run_evaluate


def test_evaluate_reads_topics_by_their_names_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    given: list[EvaluateSettings] = []

    async def counts(_connection: KafkaConnection, names: Sequence[str]) -> dict[str, int]:
        asked.extend(names)
        return dict.fromkeys(names, 3)

    monkeypatch.setattr("tocsin.workers.partition_counts", counts)
    monkeypatch.setattr("tocsin.agents.evaluate_worker.run", lambda _worker, evaluate, _topics: given.append(evaluate))
    settings = Settings(metrics=MetricsSettings(topics=("metrics:json", "more")))
    run_evaluate(Context(settings, KafkaConnection("127.0.0.1:1"), Topics(), tmp_path))
    assert asked == ["metrics", "more", "tocsin.samples"]
    assert [tuple(one.metrics_topics) for one in given] == [("metrics", "more")]
