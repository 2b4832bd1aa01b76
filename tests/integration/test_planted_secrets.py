"""Secrets that are planted in every place where one can be given come out nowhere: no answer, error, log, topic, metric
or file has one, whatever receivers reflect."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web
from tests.integration.routed import TOKEN, World, world

from tocsin.deliver.channels import CHANNELS
from tocsin.schemas.topics import topic_specs
from tocsin.testing import collect, eventually
from tocsin.testing.receivers import HOST, MailReceiver


def canary(number: int, length: int = 24) -> str:
    """A secret like no other text."""
    return f"C4n4ry{number:02d}".ljust(length, "x")


SECRET_KEY = canary(20)


def planted(url: str, mail_port: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """A channel for each way to give a secret; all lead to a server that reflects what it gets."""
    address = {"from_address": "a@example.com", "to_addresses": "b@example.com", "smtp_host": HOST, "start_tls": False}
    return {
        "mail": ("email", {**address, "smtp_port": mail_port, "username": "u", "password": canary(1)}),
        "slack-hook": ("slack", {"webhook_url": f"{url}/services/T0/B0/{canary(2)}"}),
        "slack-bot": ("slack", {"bot_token": f"xoxb-{canary(3)}", "channel": "C1", "api_url": f"{url}/api"}),
        "headed": (
            "webhook",
            {
                "url": f"{url}/hook",
                "secret": canary(4),
                "headers": {"Authorization": f"Bearer {canary(5)}", "X-Api-Key": canary(6), "Cookie": f"a={canary(7)}"},
            },
        ),
        "signed": ("webhook", {"url": f"{url}/hook", "secret": f"whsec_{_base64(8)} whsec_{_base64(9)}"}),
        "pager": ("pagerduty", {"routing_key": canary(10, 32), "url": f"{url}/v2/enqueue"}),
        "teams": ("teams", {"webhook_url": f"{url}/workflows/1?sig={canary(11)}"}),
        "genie": ("opsgenie", {"api_key": canary(12), "url": url}),
        "discord": ("discord", {"webhook_url": f"{url}/api/webhooks/1/{canary(13)}"}),
        "telegram": ("telegram", {"bot_token": f"123456:{canary(14)}", "chat_id": "1", "url": url}),
        "ntfy-token": ("ntfy", {"url": url, "topic": "a", "token": canary(15)}),
        "ntfy-login": ("ntfy", {"url": url, "topic": "a", "username": "u", "password": canary(16)}),
        "apprise": ("apprise", {"url": f"json://u:{canary(17)}@{url.removeprefix('http://')}/{canary(18)}"}),
        "put": ("webhook", {"url": f"{url}/put", "method": "PUT", "headers": {"X-Auth": f"Token {canary(19)}"}}),
    }


def _base64(number: int) -> str:
    return base64.b64encode(canary(number).encode()).decode()


# What is wrong with each stands beside a secret that must not be repeated.
REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pagerduty", {"routing_key": canary(10)}),
    ("slack", {"webhook_url": canary(2)}),
    ("slack", {"bot_token": f"xoxb {canary(3)}", "channel": "C1"}),
    ("webhook", {"url": "https://example.com", "headers": {"X-Api-Key": f"{canary(6)}\n"}}),
    ("webhook", {"url": "https://example.com", "secret": f"whsec_{canary(8)}!"}),
    ("webhook", {"url": f"https://u:{canary(4)}@example.com"}),
    ("telegram", {"bot_token": canary(14), "chat_id": "1"}),
    ("apprise", {"url": f"file://{canary(17)}"}),
    ("ntfy", {"topic": "a", "token": canary(15), "username": "u", "password": canary(16)}),
    ("email", {"smtp_host": "a b", "password": canary(1), "from_address": "a", "to_addresses": ["b"]}),
    ("nothing", {"password": canary(1)}),
)


def found_in(text: str | bytes) -> set[str]:
    """Which secrets a text holds, as they are, in base64 or escaped for an address."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    hits = set(re.findall(rb"C4n4ry\d\d", raw))
    for shift in range(3):  # the three ways in which base64 may cut it: what depends on the secret alone
        inner = base64.b64encode(b"\0" * shift + b"C4n4ry")[-(-8 * shift // 6) : (shift + 6) * 8 // 6]
        hits |= {b"base64"} if inner in raw else set()
    hits |= {b"the API token"} if TOKEN.encode() in raw or quote(TOKEN).encode() in raw else set()
    return {hit.decode() for hit in hits}


def around(text: str) -> str:
    """Where a secret stands, for the failure's text."""
    at = re.search(r"C4n4ry\d\d", text)
    return text[max(0, at.start() - 60) : at.end() + 30] if at else text[:200]


@asynccontextmanager
async def reflecting() -> AsyncIterator[str]:
    """A server that answers with what it got, and with another status each time."""
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        body = (await request.read())[-60:].decode("utf-8", "replace")
        names = ("Authorization", "X-Api-Key", "Cookie", "X-Auth")
        seen = [request.headers.get(name, "") for name in names]
        text = " ".join([*filter(None, seen), request.path_qs[-60:], body])
        return web.Response(status=(400, 500, 401, 200)[count % 4], text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_no_type_of_channel_that_has_a_secret_is_left_out() -> None:
    assert {kind for kind, _ in planted("http://localhost", 25).values()} | {"console", "file", "kafka"} == set(
        CHANNELS
    )


async def test_twenty_secrets_come_out_nowhere(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    assert found_in(f"x {canary(3)} y") == {"C4n4ry03"}
    assert all(found_in(base64.b64encode(b"u" * n + canary(3).encode())) for n in range(4)), "it sees base64"
    debug = {"TOCSIN_LOG_LEVEL": "debug", "TOCSIN_SECRET_KEY": SECRET_KEY}
    async with (
        reflecting() as url,
        MailReceiver(password="another").listening() as mail,
        world(kafka, tmp_path, topic_prefix, **debug) as at,
    ):
        channels = planted(url, mail.port)
        said = [text async for text in _given(at, channels)]
        fingerprint = await at.trigger("a1", notifications=list(channels))
        await eventually(lambda: _settled(at, fingerprint, len(channels)), 60, f"every channel; {at.log()}")
        said += [text async for text in _asked(at, channels, fingerprint)]
        assert [around(text) for text in said if found_in(text)] == []
        assert len(said) > 90
        records = await collect(kafka, *(spec.name for spec in topic_specs(topic_prefix)))
        texts = [part for one in records for part in (one.key, one.value, *(value for _, value in one.headers)) if part]
        assert [around(text.decode("utf-8", "replace")) for text in texts if found_in(text)] == []
        assert len(texts) > 100
    files = await asyncio.to_thread(lambda: [one for one in tmp_path.rglob("*") if one.is_file()])
    assert {"api.log", "deliver.log", "route.log"} <= {file.name for file in files}
    assert [file.name for file in files if found_in(file.read_bytes())] == []


async def _given(at: World, channels: dict[str, tuple[str, dict[str, Any]]]) -> AsyncIterator[str]:
    """What is answered to those who give secrets, rightly or wrongly."""
    once = {"retry": {"attempts": 2, "initial": "1ms", "max": "1ms"}, "timeout": "20s"}
    for name, (kind, config) in channels.items():
        created = await _text(at, "POST", "/channels", {"id": name, "type": kind, "config": {**config, **once}})
        assert created.startswith("201"), created
        yield created
        yield await _text(at, "POST", "/channels/preview", {"channel": name})
    for kind, config in REFUSED:
        draft = {"id": "bad", "type": kind, "config": config}
        refused = await _text(at, "POST", "/channels", draft)
        assert refused.startswith("422"), refused
        yield refused
        yield await _text(at, "POST", "/channels/preview", {"draft": draft})
    moved = {**channels["headed"][1], "url": "https://example.com", "secret": "********"}
    yield await _text(at, "PUT", "/channels/headed", {"id": "headed", "type": "webhook", "config": moved})


async def _asked(at: World, channels: Iterable[str], fingerprint: str) -> AsyncIterator[str]:
    """What is answered to those who ask, everywhere."""
    tests = [_text(at, "POST", "/channels/test", {"channel": name}) for name in channels]
    for text in await asyncio.gather(*tests, *(_text(at, "GET", f"/channels/{name}") for name in channels)):
        yield text
    for path in ("/channels", "/deliveries", "/dlq", "/configuration", "/statistics", "/openapi.json", "/docs"):
        yield await _text(at, "GET", path)
    for path in (f"/alerts/{fingerprint}", "/alerts/active", "/alerts/history"):
        yield await _text(at, "GET", path)
    delivery = re.findall(r"http://127\.0\.0\.1:\d+/metrics", at.services["deliver"].log.read_text())[0]
    for url in (f"{at.url}/metrics", f"{at.url}/readyz", f"{at.url}/healthz", delivery):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            yield await answer.text()
    for command in (("config", "show"), ("channels", "list", "-o", "json"), ("alerts", "explain", fingerprint)):
        yield await at.command(*command)


async def _text(at: World, method: str, path: str, body: Any = None) -> str:
    async with at.session.request(method, f"/api/v1{path}", json=body) as answer:
        return f"{answer.status} {dict(answer.headers)} {await answer.text()}"


async def _settled(at: World, fingerprint: str, count: int) -> bool:
    """Whether each channel has had its last attempt."""
    found = (await at.call("GET", f"/alerts/{fingerprint}"))["deliveries"]
    return len({one["channel_id"] for one in found if one["outcome"] != "retrying"}) == count
