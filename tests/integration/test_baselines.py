"""What rules that learn hold to be ordinary, over HTTP and as a command, against a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from tocsin.api.service import serving
from tocsin.cli.app import run
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.settings import ApiSettings, MetricsSettings, Settings
from tocsin.schemas.topics import Topics, metric_topic_specs
from tocsin.testing import create_topics, delete_topics, eventually, own_port

TOKEN = "the-token-of-this-test"
SERIES = 'latency{service="api"}'
RULE: dict[str, Any] = {"id": "odd", "condition": "anomaly", "metric_type": "latency", "anomaly": {"votes": 2}}


@pytest.fixture
async def url(kafka: str, topics: Topics, topic_prefix: str, tmp_path: Path) -> AsyncIterator[str]:
    """An API over 200 samples of one series, the last of which is far above the others."""
    name = f"{topic_prefix}metrics"
    await create_topics(kafka, metric_topic_specs((name,), 1))
    begin_ms = int(time.time() * 1_000) - 6_000_000
    values = [*np.random.default_rng(1).uniform(99, 101, 199).round(3).tolist(), 150.0]
    async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
        body = [
            {"name": "latency", "value": value, "timestamp": begin_ms + index * 30_000, "labels": {"service": "api"}}
            for index, value in enumerate(values)
        ]
        await producer.send_and_wait(name, json.dumps(body).encode())
    await asyncio.to_thread(tmp_path.chmod, 0o700)
    port = own_port()
    settings = Settings(api=ApiSettings(port=port, token=SecretStr(TOKEN)), metrics=MetricsSettings(topics=(name,)))
    async with serving(Context(settings, KafkaConnection(kafka), topics, tmp_path)):
        yield f"http://127.0.0.1:{port}"
    await delete_topics(kafka, [name])


async def got(session: aiohttp.ClientSession, series: str, **query: str) -> tuple[int, Any]:
    async with session.get(f"/api/v1/baselines/{quote(series, safe='')}", params=query) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"}) as found:
        yield found


async def added(session: aiohttp.ClientSession, rule: dict[str, Any]) -> None:
    async def is_taken() -> bool:
        async with session.post("/api/v1/rules", json=rule) as answer:
            assert answer.status in (201, 503), await answer.text()
            return answer.status == 201

    await eventually(is_taken, 30, "the projection to catch up")


async def test_a_baseline_is_shown_or_the_reason_why_not(session: aiohttp.ClientSession) -> None:
    status, found = await got(session, SERIES)
    assert status == 200, found
    assert (found["series"], found["rule_id"]) == (SERIES, "baseline")
    latest = found["latest"]
    assert latest["value"] == 150
    assert 97 < latest["lower"] < latest["expected"] < latest["upper"] < 104
    assert latest["score"] > 5
    assert len(found["points"]) > 100
    assert (await got(session, 'latency{service="web"}'))[0] == 404
    assert (await got(session, SERIES, rule="odd"))[0] == 404
    refused: list[tuple[str, dict[str, str], str]] = [
        ("latency{", {}, "does not end with a brace"),
        (SERIES, {"since": "soon"}, "is not a duration"),
        (SERIES, {"topic": "audit"}, "is no metrics topic"),
    ]
    for series, query, said in refused:
        status, problem = await got(session, series, **query)
        assert status == 422
        assert said in problem["errors"][0]["message"]


async def test_the_commands_show_a_rule_and_let_it_learn_anew(
    url: str, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await added(session, RULE)
    await added(session, {"id": "plain", "metric_type": "latency", "threshold": 1})
    status, found = await got(session, SERIES)
    assert (status, found["rule_id"]) == (200, "odd")
    assert (await got(session, SERIES, rule="plain"))[0] == 422

    monkeypatch.setenv("TOCSIN_API_TOKEN", TOKEN)
    capsys.readouterr()
    assert await asyncio.to_thread(run, ["baselines", "show", SERIES, "--plot", "-", "--url", url]) == 0
    drawn = capsys.readouterr().out
    assert "EXPECTED" in drawn
    assert "\N{MIDDLE DOT}" in drawn
    assert await asyncio.to_thread(run, ["baselines", "reset", "plain", "--url", url]) == 1
    assert "learns nothing" in capsys.readouterr().err
    assert await asyncio.to_thread(run, ["baselines", "reset", "odd", "--url", url]) == 0
    async with session.get("/api/v1/rules/odd") as answer:
        rule = await answer.json()
    assert rule["anomaly"]["learn_from"] is not None
    assert rule["anomaly"]["votes"] == 2
    status, found = await got(session, SERIES, rule="odd")
    assert status == 404
    assert "from when rule 'odd' learns" in found["detail"]
