"""From an alert that somebody called false to other settings for its rule, with real services."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tests.integration.test_shadow import TOKEN, world

from tocsin.cli.app import run
from tocsin.testing import eventually

RULE: dict[str, Any] = {"id": "far", "metric_type": "latency", "condition": "baseline", "threshold": 5}


async def test_alerts_that_were_called_false_lead_to_a_suggestion(
    kafka: str,
    tmp_path: Path,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("PUT", "/rules/far", RULE, 201)
        await at.call("PUT", "/rules/plain", {"id": "plain", "metric_type": "latency", "threshold": 1_000}, 201)
        nothing = await at.call("GET", "/rules/far/suggestions")
        assert (nothing["false_positives"], nothing["suggestion"]) == ([], None)
        await at.call("GET", "/rules/plain/suggestions", wanted=409)

        begin_ms = int(time.time() * 1_000) - 6_000_000
        noise = np.random.default_rng(1).uniform(99, 101, 199).round(3).tolist()
        values = [*noise[:150], 900.0, *noise[150:], 105.0]  # a real one, and one that is none
        samples = [
            {"name": "latency", "value": value, "timestamp": begin_ms + index * 30_000, "labels": {"service": "api"}}
            for index, value in enumerate(values)
        ]
        await at.producer.send_and_wait(at.metrics, orjson.dumps(samples), key=b"api")

        async def firing() -> Any:
            found = (await at.call("GET", "/alerts/active?rule_id=far"))["items"]
            return found[0]["fingerprint"] if found and found[0]["value"] == 105 else None

        fingerprint = await eventually(firing, 60, "the alert fires", poll_s=0.2)
        path = f"/alerts/{fingerprint}/acknowledge"
        await at.call("POST", path, {"reason": "boring"}, 422)
        await at.call("POST", path, {"comment": "looking"})
        told = await at.call("POST", path, {"reason": "false_positive", "comment": "a deploy"})
        assert told["acknowledged"]["reason"] == "false_positive"

        found = await at.call("GET", "/rules/far/suggestions")
        assert [one["comment"] for one in found["false_positives"]] == ["a deploy"]
        assert found["now"] == {"alerts": 2, "false_positives": 1, "other_alerts": 1}
        chosen = next(one for one in found["candidates"] if one["change"] == found["suggestion"])
        assert (chosen["false_positives"], chosen["other_alerts"]) == (0, 1)
        assert (await at.call("GET", "/rules/far"))["threshold"] == 5

        monkeypatch.setenv("TOCSIN_API_TOKEN", TOKEN)
        address = f"http://127.0.0.1:{at.session._base_url.port}"  # type: ignore[union-attr]
        assert await asyncio.to_thread(run, ["rules", "suggest", "far", "--url", address]) == 0
        printed = capsys.readouterr()
        assert "as it is" in printed.out
        assert "suggested: " in printed.err
