"""Backtests over a topic and over HTTP, against a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from tocsin.api import backtests
from tocsin.api.service import serving
from tocsin.api.state import Api
from tocsin.cli.app import run
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.settings import ApiSettings, MetricsSettings, Settings
from tocsin.schemas.topics import Topics, metric_topic_specs
from tocsin.testing import create_topics, delete_topics, eventually, own_port

TOKEN = "the-token-of-this-test"
RULE: dict[str, Any] = {"id": "slow", "metric_type": "response_time", "threshold": 1000, "labels": {"team": "a"}}
PATH = "/api/v1/rules/backtest"
AT_MS = 1_764_000_000_000
VALUES = [900.0, 1500.0, 2500.0, 800.0]


def samples(begin_ms: int = AT_MS) -> list[dict[str, Any]]:
    labels = {"service": "api"}
    return [
        {
            "name": "response_time",
            "value": value,
            "timestamp": begin_ms + index * 10_000,
            "labels": labels,
            "unit": "ms",
        }
        for index, value in enumerate(VALUES)
    ]


@pytest.fixture
async def metrics_topic(kafka: str, topic_prefix: str) -> AsyncIterator[str]:
    """A topic on which the samples lie, spread over two partitions."""
    name = f"{topic_prefix}metrics"
    specs = metric_topic_specs((name,), 2)
    await create_topics(kafka, specs)
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        for number, sample in enumerate(samples(int(time.time() * 1_000) - 60_000)):
            await producer.send_and_wait(name, json.dumps(sample).encode(), partition=number % 2)
        await producer.send_and_wait(name, b"no sample", partition=0)
    yield name
    await delete_topics(kafka, [name])


@pytest.fixture
async def api(kafka: str, topics: Topics, topic_prefix: str, tmp_path: Path) -> AsyncIterator[Api]:
    await asyncio.to_thread(tmp_path.chmod, 0o700)
    port = own_port()
    settings = Settings(
        api=ApiSettings(port=port, token=SecretStr(TOKEN)), metrics=MetricsSettings(topics=(f"{topic_prefix}metrics",))
    )
    async with serving(Context(settings, KafkaConnection(kafka), topics, tmp_path)) as served:
        yield served


@pytest.fixture
async def session(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    url = f"http://127.0.0.1:{api.context.settings.api.port}"
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"}) as found:
        yield found


async def posted(session: aiohttp.ClientSession, body: Any) -> tuple[int, Any]:
    async with session.post(PATH, json=body) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_samples_in_the_request_are_judged(session: aiohttp.ClientSession) -> None:
    status, found = await posted(session, {"rule": RULE, "samples": [*reversed(samples()), {"name": "m"}]})
    assert status == 200
    (alert,) = found["alerts"]
    assert alert["labels"] == {"service": "api", "team": "a"}
    assert (alert["peak"], alert["duration"], alert["unit"]) == (2500.0, "20s", "ms")
    assert (alert["fired_at"], alert["resolved_at"]) == ("2025-11-24T16:00:10.000Z", "2025-11-24T16:00:30.000Z")
    assert [value for _, value in found["series"][0]["points"]] == VALUES
    assert found["rules"][0]["fired"] == 1
    assert found["totals"]["samples"] == 4
    assert found["dead_letters"]["type"]["examples"][0].startswith("samples.4: ")


async def test_a_topic_is_judged(metrics_topic: str, session: aiohttp.ClientSession) -> None:
    status, found = await posted(session, {"rules": [RULE], "topic": metrics_topic, "since": "1h"})
    assert status == 200
    assert [alert["peak"] for alert in found["alerts"]] == [2500.0]
    assert found["totals"]["dead_letters"] == 1


MISTAKES: list[tuple[Any, int, str]] = [
    ({"rule": {**RULE, "treshold": 1}, "samples": []}, 422, "rule.treshold: is not a known field"),
    ({"rule": {**RULE, "labels": {"a": "{{ valve }}"}}, "samples": []}, 422, "'valve' is not known"),
    ({"samples": []}, 422, "give either rule or rules"),
    ({"rule": RULE}, 422, "give either samples, or topic and since"),
    ({"rule": RULE, "topic": "metrics"}, 422, "give either samples, or topic and since"),
    ({"rule": RULE, "topic": "audit", "since": "1h"}, 422, "topic: 'audit' is no metrics topic"),
    ({"rules": [RULE, RULE], "samples": []}, 422, "two rules have the same id"),
    ({"rule": RULE, "samples": [0] * 100_001}, 422, "samples: "),
    ([], 400, "must be a JSON object"),
]


async def test_a_mistake_is_named(session: aiohttp.ClientSession) -> None:
    for body, status, said in MISTAKES:
        answered, problem = await posted(session, body)
        assert answered == status
        assert said in problem["detail"]


async def test_a_body_beyond_the_bound_is_refused(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "MAX_BODY_BYTES", 1_000)
    status, problem = await posted(session, {"rule": RULE, "samples": samples() * 10})
    assert (status, problem["detail"][:34]) == (413, "the body is larger than 1000 bytes")


async def test_it_ends_at_its_deadline(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtests, "DEADLINE_S", 0.0)
    status, problem = await posted(session, {"rule": RULE, "samples": samples()})
    assert status == 422
    assert "takes longer than 0 s" in problem["detail"]


async def test_only_one_runs_at_a_time_and_ends_when_its_client_leaves(
    api: Api, session: aiohttp.ClientSession
) -> None:
    # Every sample is in a second of its own, and silence is looked for in each: minutes of work.
    silent = {"id": "gone", "metric_type": "m", "condition": "absence"}
    many = [{"name": "m", "value": 1, "timestamp": AT_MS + index * 2_000} for index in range(100_000)]
    slow = asyncio.create_task(posted(session, {"rule": silent, "samples": many}))
    await eventually(lambda: api.backtesting.locked(), 20, "the backtest to begin")
    async with session.post(PATH, json={"rule": RULE, "samples": samples()}) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
    slow.cancel()
    await eventually(lambda: not api.backtesting.locked(), 20, "the backtest to end")
    assert (await posted(session, {"rule": RULE, "samples": samples()}))[0] == 200


def test_the_command_reads_a_topic(
    kafka: str, metrics_topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    rules = tmp_path / "rules.yaml"
    rules.write_text(json.dumps(RULE))
    arguments = ["backtest", "--rules", str(rules), "--topic", metrics_topic, "--since", "1h", "--output", "json"]
    assert run(arguments) == 0
    assert [alert["peak"] for alert in json.loads(capsys.readouterr().out)["alerts"]] == [2500.0]
    assert run([*arguments[:4], "not-there", *arguments[5:]]) == 2
    assert "there is no such topic" in capsys.readouterr().err
