"""A rule that may watch no more series says so once, though its series lie on several partitions and a worker dies."""

from __future__ import annotations

import time
from pathlib import Path

from tests.integration.test_whole_path import PARTITIONS, SEED_RULE, World, is_total, metric, spread, world

from tocsin.schemas.signal import SERIES_LIMIT
from tocsin.testing import eventually

SERIES = 40
ACTIVE = f"/alerts/active?rule_id={SERIES_LIMIT}"


def one_of_each(value: float) -> list[bytes]:
    now_ms = time.time_ns() // 1_000_000
    return [metric(value, now_ms, host=f"h{number}") for number in range(SERIES)]


async def fires(at: World) -> bool:
    await spread(at, one_of_each(1.0))
    return await is_total(at, ACTIVE, 1)


async def test_a_limit_that_was_met_is_one_alert_through_kill_9(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("POST", "/channels", {"id": "terminal", "type": "console", "config": {"enabled": True}}, 201)
        limited = {**SEED_RULE, "duration": "0s", "max_series": 2, "notifications": ["terminal"]}
        await at.call("POST", "/rules", limited, 201)
        await eventually(lambda: fires(at), 60, "an alert that the limit was met", poll_s=1.0)
        (alert,) = (await at.call("GET", ACTIVE))["items"]
        assert alert["labels"] == {"rule_id": SEED_RULE["id"], "limit": "max_series"}
        assert alert["value"] == SERIES - 2 * PARTITIONS

        await at.services["evaluate"].kill()
        await at.services["evaluate"].start()
        await spread(at, one_of_each(5_000.0))
        watched = f"/alerts/active?rule_id={SEED_RULE['id']}"
        await eventually(lambda: is_total(at, watched, 2 * PARTITIONS), 40, "alerts of what is watched")
        assert await at.types(alert["fingerprint"]) == ["firing"]
        async with at.session.get("/metrics") as answer:
            figures = await answer.text()
        assert f'tocsin_series_refused{{limit="max_series",rule_id="{SEED_RULE["id"]}"}} 32.0' in figures
        told = (await at.call("GET", f"/alerts/{alert['fingerprint']}"))["deliveries"]
        assert [(one["channel_id"], one["outcome"]) for one in told] == [("terminal", "delivered")]
