"""Receivers that misbehave, in virtual time: each notification is delivered or dead-lettered with its reason, the order
of an alert is kept, and another channel of the same type has all of its own before the trouble ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.notification import Notification
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.certificates import Authority
from tocsin.testing.delivering import Deliverer, delivering
from tocsin.testing.receivers import HOST, WebReceiver
from tocsin.testing.virtual_time import run_virtually, virtual_ms

ALERTS = 20
HOUR_S = 3_600.0
AUTHORITY = Authority()
Answer = Callable[[web.Request], web.Response]


@dataclass(frozen=True)
class Trouble:
    """What a receiver does for `lasts_s`; whether all is delivered in the end, else the reason of the dead letters."""

    answer: Callable[[], web.Response] | None = None
    raw: bytes | None = None
    lasts_s: float = 600.0
    reason: str = ""
    tls: bool = False


TROUBLES = {
    "429 with seconds": Trouble(lambda: web.Response(status=429, headers={"Retry-After": "120"})),
    "429 with a date": Trouble(lambda: web.Response(status=429, headers={"Retry-After": in_two_minutes()})),
    "500": Trouble(lambda: web.Response(status=500)),
    "503": Trouble(lambda: web.Response(status=503)),
    "401": Trouble(lambda: web.Response(status=401), reason="credentials refused"),
    "hangs": Trouble(raw=b""),
    "drips": Trouble(raw=b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "closes": Trouble(raw=b"HTTP/1.1 2"),
    "is down for an hour": Trouble(lambda: web.Response(status=502), lasts_s=HOUR_S * 0.9),
    "is down for a day": Trouble(lambda: web.Response(status=502), lasts_s=HOUR_S * 24, reason="retries exhausted"),
    "expired certificate": Trouble(tls=True, reason="refused"),
}


def in_two_minutes() -> str:
    return format_datetime(datetime.fromtimestamp(virtual_ms() / 1_000 + 120, UTC), usegmt=True)


@dataclass
class Troubled(WebReceiver):
    """A web server that is in trouble for a while."""

    trouble: Trouble | None = None
    until_s: float = 0.0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        if self.trouble is None or loop.time() >= self.until_s:
            return await super()._answer(request)
        if self.trouble.answer is not None:
            return self.trouble.answer()
        _write(request, self.trouble.raw or b"")
        if self.trouble.raw == b"HTTP/1.1 2":
            assert request.transport is not None
            request.transport.close()
        while _is_open(request):  # one byte a second, until the sender has enough
            await _tick(loop)
            _write(request, b"y" if self.trouble.raw else b"")
        return web.Response()


def _is_open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _write(request: web.Request, content: bytes) -> None:
    if content and isinstance(request.transport, asyncio.Transport):
        request.transport.write(content)


async def _tick(loop: asyncio.AbstractEventLoop) -> None:
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(1.0, passed.set_result, None)
    await passed


def told(channel: str, event: AlertEvent) -> Notification:
    return Addressee(channel, "webhook").notification(event)


def episodes() -> list[AlertEvent]:
    """For each alert: it fires, changes, and is over."""
    names = [f"{number:016x}" for number in range(ALERTS)]
    firing = [firing_event(1, name) for name in names]
    changed = [firing_event(2, name, type="changed", severity="critical") for name in names]
    return [*firing, *changed, *(resolved_event(3, name) for name in names)]


def sequences(receiver: WebReceiver) -> dict[str, list[int]]:
    """For each alert, the numbers of its events as they came."""
    found: dict[str, list[int]] = {}
    for _, body in receiver.requests:
        data = msgspec.json.decode(body)["data"]
        found.setdefault(data["fingerprint"], []).append(data["sequence"])
    return found


@asynccontextmanager
async def under_way(trouble: Trouble) -> AsyncIterator[tuple[Deliverer, Troubled, WebReceiver]]:
    tls = AUTHORITY.server(HOST, expired=True) if trouble.tls else None
    async with (
        Troubled(trouble=trouble, until_s=trouble.lasts_s, tls=tls).listening() as bad,
        WebReceiver().listening() as good,
    ):
        channels: dict[str, tuple[str, dict[str, Any]]] = {
            "bad": ("webhook", {"url": bad.url}),
            "good": ("webhook", {"url": good.url}),
        }
        async with delivering(channels, virtual=True, tls=AUTHORITY.trusting()) as deliverer:
            assert isinstance(bad, Troubled)
            yield deliverer, bad, good


@pytest.mark.parametrize("name", TROUBLES)
def test_everything_is_delivered_or_dead_lettered_in_order_and_others_do_not_wait(name: str) -> None:
    run_virtually(held_to_it(TROUBLES[name]))


async def held_to_it(trouble: Trouble) -> None:
    every = episodes()
    async with under_way(trouble) as (deliverer, bad, good):
        for event in every:
            await deliverer.tell(told("bad", event), told("good", event))
        began_s = asyncio.get_running_loop().time()
        while len(good.requests) < len(every):
            await _tick(asyncio.get_running_loop())
        # In virtual time only waiting costs: for each other, or for a receiver.
        assert asyncio.get_running_loop().time() - began_s <= 10.0
        written = await deliverer.settled()
    assert sequences(good) == {f"{number:016x}": [1, 2, 3] for number in range(ALERTS)}
    outcomes = [one.outcome for one in written.deliveries if one.channel_id == "bad" and one.outcome != "retrying"]
    assert len(outcomes) == len(every)
    if trouble.reason:
        assert outcomes == ["failed"] * len(every)
        assert {(channel, reason) for channel, reason, _ in written.dead} == {("bad", trouble.reason)}
        assert len(written.dead) == len(every)
    else:
        assert outcomes == ["delivered"] * len(every)
        assert sequences(bad) == {f"{number:016x}": [1, 2, 3] for number in range(ALERTS)}


def test_a_rest_that_the_receiver_asks_for_is_kept_by_all_of_its_channel() -> None:
    async def main() -> None:
        asked = web.Response(status=429, headers={"Retry-After": "300"})
        async with WebReceiver(answers=[asked]).listening() as hook:
            async with delivering({"hook": ("webhook", {"url": hook.url})}, virtual=True) as deliverer:
                await deliverer.tell(told("hook", firing_event(1)))
                await _tick(asyncio.get_running_loop())
                await deliverer.tell(*(told("hook", firing_event(1, f"{n:016x}")) for n in range(5)))
                await _tick(asyncio.get_running_loop())
                assert len(hook.requests) == 1
                written = await deliverer.settled()
            assert asyncio.get_running_loop().time() >= 300.0
            assert written.outcomes("hook").count("delivered") == 6

    run_virtually(main())


def test_however_many_wait_one_asks_whether_the_receiver_is_back() -> None:
    async def main() -> None:
        async with under_way(Trouble(lambda: web.Response(status=503), lasts_s=600.0)) as (deliverer, bad, _):
            asked: list[float] = []
            loop = asyncio.get_running_loop()
            assert bad.trouble is not None
            answer = bad.trouble.answer
            assert answer is not None

            def noted() -> web.Response:
                asked.append(loop.time())
                return answer()

            bad.trouble = Trouble(noted)
            await deliverer.tell(*(told("bad", firing_event(1, f"{n:016x}")) for n in range(500)))
            tried_out = (told("bad", firing_event(1, f"test-{n}", severity="critical")) for n in range(5))
            await deliverer.tell(*(msgspec.structs.replace(one, test=True) for one in tried_out))
            written = await deliverer.settled()
        assert written.outcomes("bad").count("delivered") == 500
        assert written.outcomes("bad").count("failed") == 5, "a test is tried once, and says nothing of the receiver"
        later = [at_s for at_s in asked if at_s > asked[0]]
        assert 600 / 30 <= len(later) <= 600 / 15 + 10
        assert len(later) == len(set(later)) + 5, "one at a time, and the tests behind each other"

    run_virtually(main())


def test_what_is_tried_once_keeps_the_channels_rest_as_well() -> None:
    async def main() -> None:
        asked: list[float] = []

        def noted() -> web.Response:
            asked.append(asyncio.get_running_loop().time())
            return web.Response(status=503)

        async with under_way(Trouble(noted, lasts_s=HOUR_S)) as (deliverer, bad, _):
            await deliverer.channel("bad", "webhook", url=bad.url, retry={"attempts": 1, "initial": "10s"})
            await deliverer.tell(*(told("bad", firing_event(1, f"{n:016x}")) for n in range(30)))
            written = await deliverer.settled()
        assert len(written.dead) == len(asked) == 30
        later = [at_s for at_s in asked if at_s > asked[0]]
        assert len(later) == len(set(later)) >= 20
        assert later[-1] >= len(later) * 10, "half of the shortest rest, or more, before each"

    run_virtually(main())


def test_what_waits_for_a_channel_that_is_deleted_is_given_up_together() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with under_way(Trouble(lambda: web.Response(status=503), lasts_s=HOUR_S)) as (deliverer, _, _):
            await deliverer.tell(*(told("bad", firing_event(1, f"{n:016x}")) for n in range(400)))
            while loop.time() < 300.0:
                await _tick(loop)
            await deliverer.directory.apply("bad", None)
            written = await deliverer.settled()
        assert [reason for _, reason, _ in written.dead] == ["channel unusable"] * 400
        # A rest, the last one to have been told to wait by itself, and the wait for a channel that is not yet known.
        assert loop.time() <= 300.0 + 300.0 + 5.0 + 10.0

    run_virtually(main())
