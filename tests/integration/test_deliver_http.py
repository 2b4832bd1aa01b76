"""Webhook and Slack against real web servers: signatures, verdicts, and receivers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tocsin.deliver.channels import channel_type, check_config
from tocsin.deliver.guard import Guard
from tocsin.deliver.message import compose
from tocsin.deliver.protocol import Authentication, DeliveryError, Outgoing, Permanent, Receipt, Transient, Transport
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.testing.certificates import Authority
from tocsin.testing.receivers import WebReceiver

LOOPBACK = (ip_network("127.0.0.0/8"),)


@asynccontextmanager
async def transport(*, guarded: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Transport]:
    guard = Guard(() if guarded else LOOPBACK)
    async with guard.session() as session:
        yield Transport(guard, session, tls or ssl.create_default_context())


def outgoing(kind: str = "webhook") -> Outgoing:
    notification = Addressee("ops", kind).notification(firing_event())
    return Outgoing(notification, compose(notification, "https://tocsin.example.com"))


async def send(
    kind: str, config: dict[str, Any], *, guarded: bool = False, tls: ssl.SSLContext | None = None
) -> Receipt:
    async with transport(guarded=guarded, tls=tls) as ways_out:
        return await channel_type(kind).send(check_config(kind, config), outgoing(kind), ways_out)


async def failure(kind: str, config: dict[str, Any], **how: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(kind, config, **how)
    return caught.value


@pytest.mark.parametrize("secret", ["whsec_" + base64.b64encode(b"k" * 24).decode(), "any text will do"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_webhook_carries_the_event_and_a_signature_that_verifies(secret: str, method: str) -> None:
    async with WebReceiver().listening() as hook:
        config = {"url": hook.url, "method": method, "secret": secret, "headers": {"X-Team": "ops"}}
        receipt = await send("webhook", config)
        await send("webhook", config)
    assert receipt.status_code == 200
    (first, body), (second, repeat) = hook.requests
    assert hook.methods == [method, method]
    assert first["X-Team"] == "ops"
    assert first["Content-Type"] == "application/json"
    assert first["webhook-id"] == second["webhook-id"] == outgoing().notification.id
    assert body == repeat
    plain = secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode()
    seen = Webhook(plain).verify(body, first)
    assert seen["type"] == "tocsin.alert.firing"
    assert seen["data"]["labels"]["service"] == "api"
    assert seen["data"]["value"] == 1234.5
    assert seen["data"]["message"]["link"] == "https://tocsin.example.com/#/alerts/9f2c000000000001"
    with pytest.raises(WebhookVerificationError):
        Webhook(plain).verify(body + b" ", first)


async def test_without_a_secret_there_is_an_id_and_no_signature() -> None:
    async with WebReceiver().listening() as hook:
        await send("webhook", {"url": hook.url})
    headers, _ = hook.requests[0]
    assert "webhook-id" in headers
    assert "webhook-signature" not in headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Authentication),
        (403, Authentication),
        (400, Permanent),
        (404, Permanent),
        (301, Permanent),
        (408, Transient),
        (429, Transient),
        (500, Transient),
        (503, Transient),
    ],
)
async def test_each_status_has_its_verdict(status: int, kind: type[DeliveryError]) -> None:
    async with WebReceiver(answers=[web.Response(status=status, text="no\x1b[31m\nsecond")]).listening() as hook:
        error = await failure("webhook", {"url": hook.url})
    assert type(error) is kind
    assert error.status_code == status
    assert str(status) in error.detail
    assert "\x1b" not in error.detail
    assert "\n" not in error.detail


async def test_retry_after_comes_with_the_error() -> None:
    async with WebReceiver(answers=[web.Response(status=429, headers={"Retry-After": "7"})]).listening() as hook:
        error = await failure("webhook", {"url": hook.url})
    assert isinstance(error, Transient)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with WebReceiver().listening() as inside:
        answer = web.Response(status=status, headers={"Location": inside.url})
        async with WebReceiver(answers=[answer]).listening() as hook:
            error = await failure("webhook", {"url": hook.url})
        assert inside.requests == []
    assert isinstance(error, Permanent)
    assert error.detail == f"HTTP {status}: redirects are not followed; set the final address"


@pytest.mark.parametrize("kind", ["webhook", "slack"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "0.0.0.0", "127.0.0.1."])
async def test_the_inside_is_not_reached_in_any_spelling(kind: str, host: str) -> None:
    async with WebReceiver().listening() as hook:
        field = "url" if kind == "webhook" else "webhook_url"
        error = await failure(kind, {field: f"http://{host}:{hook.port}/hook"}, guarded=True)
        assert hook.requests == []
    assert "127" not in error.detail
    assert str(hook.port) not in error.detail


async def test_a_receiver_that_never_answers_costs_the_timeout() -> None:
    async with WebReceiver(hold=asyncio.Event()).listening() as hook:
        error = await failure("webhook", {"url": hook.url, "timeout": "100ms"})
    assert isinstance(error, Transient)
    assert error.detail == "no answer within 0.1 s"


async def test_a_port_where_nobody_listens_and_a_name_without_address_are_transient() -> None:
    async with WebReceiver().listening() as hook:
        url = hook.url
    assert isinstance(await failure("webhook", {"url": url}), Transient)
    error = await failure("webhook", {"url": "http://nobody.invalid/hook"})
    assert isinstance(error, Transient)
    assert error.detail == "the host's name has no address"


@asynccontextmanager
async def raw_server(answer: bytes, *, close: bool) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if close:
            writer.close()
        else:
            await reader.read()  # until the client goes

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999\r\n\r\n"
        + gzip.compress(b"0" * 50_000_000),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["10 GB", "endless", "bomb", "no end"],
)
async def test_an_answer_without_end_is_taken_as_far_as_it_came(answer: bytes) -> None:
    async with raw_server(answer, close=False) as url:
        receipt = await send("webhook", {"url": url, "timeout": "10s"})
    assert receipt.status_code == 200
    assert len(receipt.text) <= 200


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000])
async def test_a_broken_answer_is_tried_again(answer: bytes) -> None:
    async with raw_server(answer, close=True) as url:
        assert isinstance(await failure("webhook", {"url": url}), Transient)


async def test_a_certificate_must_be_valid_and_of_the_right_name() -> None:
    authority = Authority()
    trusting = authority.trusting()
    async with WebReceiver(tls=authority.server("127.0.0.1")).listening() as good:
        assert (await send("webhook", {"url": good.url}, tls=trusting)).status_code == 200
        await refused_certificate(good, ssl.create_default_context())
    for bad in (authority.server("x.test"), authority.server("127.0.0.1", expired=True)):
        async with WebReceiver(tls=bad).listening() as other:
            await refused_certificate(other, trusting)
            assert other.requests == []


async def refused_certificate(receiver: WebReceiver, tls: ssl.SSLContext) -> None:
    error = await failure("webhook", {"url": receiver.url}, tls=tls)
    assert isinstance(error, Permanent)
    assert error.detail.startswith("the receiver's certificate is refused: ")


async def test_slack_gets_blocks_and_answers_ok() -> None:
    async with WebReceiver().listening() as slack:
        config = {"webhook_url": slack.url, "channel": "#ops", "username": "tocsin", "icon_emoji": ":bell:"}
        assert (await send("slack", config)).text == "ok"
    told = msgspec.json.decode(slack.requests[0][1])
    assert (told["channel"], told["username"], told["icon_emoji"]) == ("#ops", "tocsin", ":bell:")
    assert told["text"].startswith("🟡 [FIRING] warning: High Response Time Alert")
    kinds = [block["type"] for block in told["blocks"]]
    assert kinds == ["header", "section", "section", "context", "section"]
    assert "*Threshold*\n&gt; 1,000 ms" in [one["text"] for one in told["blocks"][2]["fields"]]
    assert "<https://tocsin.example.com/#/alerts/9f2c000000000001|Open the alert>" in told["blocks"][4]["text"]["text"]


@pytest.mark.parametrize("text", ["", '{"ok":false,"error":"invalid_blocks"}', "<html>welcome</html>"])
async def test_what_is_not_ok_is_not_slacks_acknowledgement(text: str) -> None:
    async with WebReceiver(text=text).listening() as slack:
        error = await failure("slack", {"webhook_url": slack.url})
    assert isinstance(error, Permanent)
    assert error.detail.startswith("the receiver did not answer ok: ")
