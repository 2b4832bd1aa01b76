"""What people do about alerts, with real services: what ends by itself does so through kill -9."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.routed import World, is_decided, world

from tocsin.schemas.instant import parse_instant
from tocsin.testing import eventually


def types(at: World) -> list[str]:
    """What the hook heard of single alerts."""
    return [json.loads(body)["type"].removeprefix("tocsin.alert.") for _, body in at.hook.requests]


async def timeline(at: World, fingerprint: str) -> list[dict[str, Any]]:
    """The alert's events."""
    found: list[dict[str, Any]] = (await at.call("GET", f"/alerts/{fingerprint}"))["timeline"]
    return found


async def test_what_is_put_off_comes_back_at_its_time_and_what_is_acknowledged_reminds(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        name = await at.trigger("a1", notifications=["hook"])
        await eventually(lambda: types(at) == ["firing"], 20, "the alert")
        body = {"duration": "6s", "by": "ann", "comment": "after lunch"}
        snoozed = await at.call("POST", f"/alerts/{name}/snooze", body)
        assert (snoozed["status"], snoozed["actor"]) == ("acknowledged", "ann")
        assert snoozed["acknowledged"]["snoozed"]
        await at.services["route"].kill()
        await at.services["route"].start()
        await eventually(lambda: types(at) == ["firing", "unacknowledged"], 40, f"its return; {at.log()}")
        returned = (await timeline(at, name))[-1]
        assert returned["reason"] == "snooze over"
        assert returned["updated_at"] == snoozed["acknowledged"]["until"], "at the time that was said"
        assert parse_instant(returned["updated_at"]) == parse_instant(snoozed["updated_at"]) + 6_000

        taken = await at.call("POST", f"/alerts/{name}/acknowledge", {"comment": "on it", "duration": "1h"})
        assert taken["acknowledged"]["until"] is not None
        for_good = await at.call("POST", f"/alerts/{name}/acknowledge", {"remind_every": "1m"})
        assert for_good["acknowledged"].get("until") is None
        assert for_good["sequence"] == taken["sequence"] + 1
        again = await at.call("POST", f"/alerts/{name}/unacknowledge", {})
        assert again["status"] == "firing"


async def test_a_drill_is_an_alert_of_its_own_that_ends_by_itself(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        real = await at.trigger("a1", notifications=["hook"])
        drill = await at.trigger("a1", notifications=["chat"], drill=True, duration="3s")
        assert real != drill
        await eventually(lambda: len(at.chat.requests) == 2, 40, f"the drill and its end; {at.log()}")
        told = [json.loads(body)["data"] for _, body in at.chat.requests]
        assert [(one["status"], one["drill"], one["labels"]["drill"]) for one in told] == [
            ("firing", True, "true"), ("resolved", True, "true"),
        ]  # fmt: skip
        assert told[-1]["reason"] == "time over"
        figures = await at.call("GET", "/statistics")
        assert (figures["active"]["total"], figures["events"]["by_type"]) == (1, {"firing": 1})


async def test_the_command_line_acts_and_explains(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("POST", "/silences", {"match": ["host=a1"], "duration": "4s"}, 201)
        name = await at.trigger("a1", notifications=["hook"])
        assert "is acknowledged" in await at.command("alerts", "snooze", name, "--for", "1h", "--by", "ann")
        assert "is firing" in await at.command("alerts", "unack", name)
        assert "--for: is missing" in await at.command("alerts", "snooze", name, wanted=2)
        refused = await at.call("POST", f"/alerts/{name}/snooze", {"until": "2020-01-01T00:00:00Z"}, 422)
        assert "is past" in refused["detail"]
        await eventually(lambda: is_decided(at, name, "sent"), 30, "that it is told after all")

        async def is_explained() -> bool:
            return "delivered" in await at.command("alerts", "explain", name)

        await eventually(is_explained, 20, "the provider's answer")
        said = await at.command("alerts", "explain", name)
        assert "by silence" in said
        assert "hook" in said
