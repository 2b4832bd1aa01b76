"""Channels for programs and the long tail: Alertmanager's form, files that are rotated, Apprise held in its cage."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp import web
from prometheus_alert_model import AlertGroup
from standardwebhooks import Webhook

from tocsin.deliver.channels.file import append
from tocsin.deliver.guard import Guard
from tocsin.deliver.protocol import Permanent
from tocsin.deliver.topic_writer import TopicWriter
from tocsin.schemas.notification import Group, Notification
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.delivering import delivering
from tocsin.testing.receivers import WebReceiver


def grouped(kind: str) -> Notification:
    alerts = (firing_event(1), firing_event(1, "9f2c000000000002", labels={"service": "api", "host": "a2"}))
    group = Group(route="", labels={"service": "api"}, reason="first", alerts=alerts, truncated=3)
    return msgspec.structs.replace(Addressee("ops", kind).notification(), group=group, group_key="{}:{service=api}")


async def test_readers_of_alertmanagers_webhook_take_its_form() -> None:
    secrets = ["whsec_" + base64.b64encode(letter * 24).decode() for letter in (b"n", b"o")]
    async with WebReceiver().listening() as hook:
        config = {"url": hook.url, "format": "alertmanager", "max_alerts": 1, "secret": " ".join(secrets)}
        async with delivering({"ops": ("webhook", config)}) as deliverer:
            await deliverer.tell(grouped("webhook"))
            await deliverer.tell(Addressee("ops", "webhook").notification(resolved_event()))
            await deliverer.settled()
    bodies = []
    for headers, body in hook.requests:
        bodies.append(AlertGroup(**orjson.loads(body)))
        assert all(Webhook(secret).verify(body, headers) for secret in secrets)
    first, last = bodies
    assert (first.status, first.truncated_alerts, first.group_labels) == ("firing", 4, {"service": "api"})
    assert first.common_labels == {
        "alertname": "high_response_time",
        "service": "api",
        "severity": "warning",
        "category": "performance",
    } | {name: value for name, value in first.common_labels.items() if name.startswith("exported_")}
    assert (last.status, last.alerts[0].status, last.receiver) == ("resolved", "resolved", "ops")
    assert last.alerts[0].fingerprint == "9f2c000000000001"


async def test_lines_are_whole_and_a_renamed_file_is_left_alone(tmp_path: Path) -> None:
    async with delivering({"log": ("file", {"name": "alerts.jsonl"})}, files=tmp_path) as deliverer:
        await deliverer.tell(*(Addressee("log", "file").notification(firing_event(n)) for n in range(1, 6)))
        await deliverer.settled()
        (tmp_path / "alerts.jsonl").rename(tmp_path / "alerts.jsonl.1")
        await deliverer.tell(Addressee("log", "file").notification(resolved_event(6)))
        written = await deliverer.settled()
    assert written.outcomes("log") == ["delivered"] * 6
    before = [orjson.loads(line) for line in (tmp_path / "alerts.jsonl.1").read_bytes().splitlines()]
    assert [line["data"]["sequence"] for line in before] == [1, 2, 3, 4, 5]
    (after,) = (tmp_path / "alerts.jsonl").read_bytes().splitlines()
    assert orjson.loads(after)["type"] == "tocsin.alert.resolved"


def test_a_link_leads_no_line_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "alerts.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "alerts.jsonl", b"{}\n")
    assert (tmp_path / "victim").read_text() == "theirs"


@pytest.mark.parametrize("topic", ["tocsin.rules", "tocsin.commands", "metrics", "__consumer_offsets"])
async def test_no_topic_of_tocsins_own_is_written_to(topic: str) -> None:
    nothing: Any = None
    with pytest.raises(Permanent, match="is one of tocsin's or Kafka's own; choose another"):
        await TopicWriter(nothing, "tocsin.", ("metrics",)).write(topic, b"", b"", [])


async def by_apprise(url: str, *, allowed: bool) -> tuple[str, str]:
    async with delivering({"tail": ("apprise", {"url": url, "retry": {"attempts": 1}})}) as deliverer:
        if not allowed:
            object.__setattr__(deliverer.transport, "guard", Guard(()))
        await deliverer.tell(Addressee("tail", "apprise").notification())
        (sent,) = (await deliverer.settled()).deliveries
    return sent.outcome, sent.detail


async def test_apprise_sends_where_it_may() -> None:
    async with WebReceiver().listening() as hook:
        assert await by_apprise(f"json://127.0.0.1:{hook.port}/hook", allowed=True) == ("delivered", "")
    (_, body) = hook.requests[0]
    assert "High Response Time Alert" in orjson.loads(body)["title"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_apprise_reaches_nothing_inside(host: str) -> None:
    async with WebReceiver().listening() as hook:
        outcome, detail = await by_apprise(f"json://{host}:{hook.port}/hook", allowed=False)
        assert hook.requests == []
    assert outcome == "failed"
    assert detail.startswith("leads to an internal address; ")


async def test_what_apprise_is_told_shows_no_address() -> None:
    async with WebReceiver(answers=[web.Response(status=401)]).listening() as hook:
        outcome, detail = await by_apprise(f"json://user:canary-password@127.0.0.1:{hook.port}/canary", allowed=True)
    assert (outcome, detail) == ("failed", "HTTP 401 (check the channel's credentials)")


async def test_an_apprise_that_hangs_is_ended() -> None:
    async with WebReceiver(hold=asyncio.Event()).listening() as hook:
        url = f"json://127.0.0.1:{hook.port}/hook"
        config = {"url": url, "timeout": "2s", "retry": {"attempts": 1}}
        async with delivering({"tail": ("apprise", config)}) as deliverer:
            await deliverer.tell(Addressee("tail", "apprise").notification())
            (sent,) = (await deliverer.settled()).deliveries
    assert (sent.outcome, sent.detail) == ("failed", "no answer within 2 s")
