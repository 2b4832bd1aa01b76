"""An incident with real services: one message for alerts of several rules, and why."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.routed import told, world

from tocsin.testing import eventually


async def test_alerts_along_a_dependency_are_one_incident(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        routing = {
            "route": {"channels": ["hook"], "group_wait": "0s"},
            "dependencies": [
                {"label": "host", "needs": {"web1": ["db1"]}, "source": ["alertname=nothing"], "hold": "0s"},
            ],
            "correlations": [
                {"name": "stack", "by": ["team"], "along": "host", "channels": ["chat", "chta"], "group_wait": "3s",
                 "group_interval": "1s"},
            ],
        }  # fmt: skip
        answered = await at.call("PUT", "/routes", routing, 201)
        assert answered["warnings"] == [
            {"field": "correlations.0.channels.1", "message": "there is no channel 'chta'; add it"}
        ]
        routing["correlations"][0]["channels"] = ["chat"]  # type: ignore[index]
        await at.call("PUT", "/routes", routing)
        first, second = await at.trigger("db1"), await at.trigger("web1")
        await eventually(lambda: told(at.chat)[:1] == [("first", ["db1 firing", "web1 firing"])], 30, "one message")
        (found,) = (await at.call("GET", "/incidents?status=open"))["items"]
        assert (found["correlation"], found["labels"]) == ("stack", {"team": "ops", "host": "db1"})
        assert [(one["fingerprint"], one["why"]) for one in found["alerts"]] == [
            (first, "it is the first"),
            (second, "team is ops, host web1 needs db1"),
        ]
        assert json.loads(at.chat.requests[0][1])["data"]["group"]["incident"] == found["id"]
        assert "web1 needs db1" in await at.command("incidents", "show", found["id"])
        await at.resolve(first)
        await at.resolve(second)
        await eventually(lambda: told(at.chat)[-1][0] == "all resolved", 30, "its end")

        async def is_over() -> bool:
            return bool((await at.call("GET", f"/incidents/{found['id']}"))["status"] == "resolved")

        await eventually(is_over, 20, "that it is over")
        assert found["id"] in await at.command("incidents", "list", "--status", "resolved")
        assert not at.hook.requests, "the routes hear nothing of it"
        assert "PUT /routes" in await at.command("audit", "list")
        assert "the audit trail is whole" in await at.command("audit", "verify")
