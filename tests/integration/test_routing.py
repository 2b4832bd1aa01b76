"""Routes, groups, silences and inhibitions with real services, and timers through kill -9."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.integration.routed import is_decided, told, world

from tocsin.testing import eventually, pause


async def test_a_group_is_one_message_a_silence_keeps_repeats_away_and_the_end_passes_it(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        routing = {
            "route": {"channels": ["hook"], "group_by": ["team"], "group_wait": "3s", "group_interval": "1s",
                      "repeat_interval": "3s"},
        }  # fmt: skip
        assert (await at.call("PUT", "/routes", routing, 201))["warnings"] == []
        first, second = await asyncio.gather(at.trigger("a1"), at.trigger("b1"))
        await eventually(lambda: len(at.hook.requests) >= 2, 30, "the group, and its repeat")
        assert told(at.hook)[:2] == [("first", ["a1 firing", "b1 firing"]), ("repeat", ["a1 firing", "b1 firing"])]

        made = await at.call("POST", "/silences", {"match": ["team=ops"], "duration": "1h", "comment": "at work"}, 201)
        assert (made["preview"]["active"], made["state"]) == (2, "active")
        await eventually(lambda: is_decided(at, first, "silenced"), 20, "that it is silenced")
        said = len(at.hook.requests)
        await pause(4)
        assert len(at.hook.requests) == said, "nothing is repeated while it is silenced"

        await at.resolve(first)
        await eventually(lambda: told(at.hook)[said:] == [("some resolved", ["a1 resolved"])], 20, "one end")
        await at.resolve(second)
        await eventually(lambda: told(at.hook)[said + 1 :] == [("all resolved", ["b1 resolved"])], 20, "the other end")
        outcomes = await at.outcomes(first)
        assert outcomes[:2] == ["waiting", "sent first"]
        assert outcomes[-1] == "sent some resolved"
        detail = await at.call("GET", f"/alerts/{first}")
        assert {one["outcome"] for one in detail["deliveries"]} == {"delivered"}
        await at.call("DELETE", f"/silences/{made['id']}", wanted=204)
        assert (await at.call("GET", "/silences?state=expired"))["total"] == 1


async def test_timers_go_on_after_kill_9(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        routing = {"route": {"channels": ["hook"], "group_by": ["team"], "group_wait": "6s", "group_interval": "10m"}}
        await at.call("PUT", "/routes", routing, 201)
        first = await at.trigger("a1")
        await eventually(lambda: is_decided(at, first, "waiting"), 20, "that it waits")
        await at.services["route"].kill()
        await at.services["route"].start()
        await eventually(lambda: len(at.hook.requests) == 1, 40, f"the group; {at.log()}")
        assert told(at.hook) == [("first", ["a1 firing"])]
        assert await at.outcomes(first) == ["waiting", "sent first"]
        await at.services["route"].kill()
        await at.services["route"].start()
        await at.resolve(first)
        await eventually(lambda: told(at.hook)[1:] == [("all resolved", ["a1 resolved"])], 40, "the end, at once")


async def test_other_routes_and_inhibitions_are_in_force_at_once(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        first = await at.trigger("a1")
        await eventually(lambda: is_decided(at, first, "no route"), 20, "that nobody is told")
        base = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        await at.call("PUT", "/routes", {"route": {**base, "channels": ["hook"]}}, 201)
        await eventually(lambda: told(at.hook) == [("first", ["a1 firing"])], 30, "who is active is told")
        routing = {
            "route": {**base, "channels": ["hook"], "routes": [{"match": ["host=a1"], "channels": ["chat"]}]},
            "inhibit_rules": [{"source": ["host=a1"], "target": ["host=b1"], "equal": ["team"], "hold": "1s"}],
        }
        await at.call("PUT", "/routes", routing)
        await eventually(lambda: told(at.chat) == [("first", ["a1 firing"])], 30, "another route has it")
        await eventually(lambda: told(at.hook)[1:] == [("all resolved", ["a1 resolved"])], 30, "the first one not")
        second = await at.trigger("b1")
        await eventually(lambda: is_decided(at, second, "inhibited"), 30, "that it is inhibited")
        await at.resolve(first)
        await eventually(lambda: told(at.hook)[2:] == [("first", ["b1 firing"])], 30, "the other, without the first")
        tested = await at.call("POST", "/routes/test", {"labels": {"host": "a1"}})
        assert [one["channels"] for one in tested["routes"]] == [["chat"]]


async def test_a_silence_that_is_too_broad_is_refused_and_shown(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        for number in range(12):
            await at.trigger(f"h{number}")
        refused = await at.call("POST", "/silences", {"match": ["team=ops"]}, 422)
        assert "matches 12 of 12 active alerts; narrow it, or set allow_broad: true" in refused["detail"]
        shown = await at.call("POST", "/silences/preview", {"match": ["host=h1"]})
        assert (shown["active"], shown["last_day"], shown["too_broad"]) == (1, 1, "")
        assert [one["labels"]["host"] for one in shown["alerts"]] == ["h1"]
        windows = {"match": ["host=h1"], "schedule": {"rrule": "FREQ=WEEKLY;BYDAY=SU", "duration": "2h"}}
        assert len((await at.call("POST", "/silences/preview", windows))["windows"]) == 10
        nothing = await at.call("POST", "/silences", {"match": ["host=~.*"]}, 422)
        assert "would match an alert without any labels" in nothing["detail"]
        await at.call("POST", "/silences", {"match": ["team=ops"], "allow_broad": True}, 201)
        assert "hits 1 of 12 active alerts" in await at.command("silences", "preview", "host=h1")
        assert "--allow-broad" in await at.command("silences", "add", "--help")
        added = await at.command("silences", "add", "host=h1", "--for", "2h", "-m", "at work")
        silence_id = added.splitlines()[0]
        assert "at work" in await at.command("silences", "list", "--state", "active")
        await at.command("silences", "expire", silence_id)
        assert (await at.call("GET", f"/silences/{silence_id}"))["state"] == "expired"
        await at.command("silences", "expire", silence_id)
        await at.call("GET", f"/silences/{silence_id}", wanted=404)
        (at.directory / "routes.yaml").write_text("route: {channels: [chat], group_by: [team]}")
        assert "routes created" in await at.command("routes", "apply", str(at.directory / "routes.yaml"))
        assert "unchanged" in await at.command("routes", "apply", str(at.directory / "routes.yaml"))
        assert "chat" in await at.command("routes", "test", "team=ops", "--expect", "chat")
        await at.command("routes", "delete")
