"""Beyond a channel's rate limit, and beyond its receiver: one digest, and another channel, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from tocsin.schemas.notification import Notification
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.delivering import delivering
from tocsin.testing.providers import Slack
from tocsin.testing.receivers import WebReceiver
from tocsin.testing.virtual_time import run_virtually
from tocsin.testing.waiting import eventually

LIMIT = {"count": 3, "per": "1m"}


def test_what_is_beyond_the_limit_is_one_digest_and_nothing_is_lost() -> None:
    async def main() -> None:
        async with WebReceiver().listening() as slack:
            config = {"webhook_url": slack.url, "rate_limit": LIMIT}
            async with delivering({"ops": ("slack", config)}, virtual=True) as deliverer:
                names = [f"{number:016x}" for number in range(40)]
                await deliverer.tell(
                    *(Addressee("ops", "slack").notification(firing_event(1, name)) for name in names),
                    *(Addressee("ops", "slack").notification(resolved_event(2, name)) for name in names[-5:]),
                )
                written = await deliverer.settled()
        texts = [msgspec.json.decode(body)["text"] for _, body in slack.requests]
        assert len(texts) == 4
        assert "FIRING 32, RESOLVED 5, DIGEST" in texts[3]
        assert written.outcomes("ops") == ["delivered"] * 45
        assert sum("in a digest of 42" in one.receipt for one in written.deliveries) == 42
        assert asyncio.get_running_loop().time() >= 60

    run_virtually(main())


def test_a_digest_that_fails_is_tried_again_for_each_of_its_notifications() -> None:
    async def main() -> None:
        fine, broken = web.Response(text="ok"), web.Response(status=500)
        async with WebReceiver(answers=[fine, broken]).listening() as slack:
            config = {"webhook_url": slack.url, "rate_limit": {"count": 1, "per": "1m"}}
            async with delivering({"ops": ("slack", config)}, virtual=True) as deliverer:
                names = [f"{number:016x}" for number in range(6)]
                await deliverer.tell(*(Addressee("ops", "slack").notification(firing_event(1, n)) for n in names))
                written = await deliverer.settled()
        assert written.outcomes("ops").count("delivered") == 6
        assert written.outcomes("ops").count("retrying") == 5
        assert written.dead == []

    run_virtually(main())


def test_programs_get_each_notification_by_itself() -> None:
    async def main() -> None:
        async with WebReceiver().listening() as hook:
            config = {"url": hook.url, "rate_limit": LIMIT}
            async with delivering({"ops": ("webhook", config)}, virtual=True) as deliverer:
                names = [f"{number:016x}" for number in range(9)]
                await deliverer.tell(*(Addressee("ops", "webhook").notification(firing_event(1, n)) for n in names))
                await deliverer.settled()
        assert len(hook.requests) == 9
        assert asyncio.get_running_loop().time() >= 120

    run_virtually(main())


def test_a_message_that_is_to_be_edited_goes_into_no_digest() -> None:
    async def main() -> None:
        async with Slack().listening() as slack:
            config = {"bot_token": slack.token, "channel": slack.channel, "api_url": f"{slack.url}/api"}
            async with delivering({"ops": ("slack", {**config, "rate_limit": LIMIT})}, virtual=True) as deliverer:
                names = [f"{number:016x}" for number in range(3)]
                await deliverer.tell(*(Addressee("ops", "slack").notification(firing_event(1, n)) for n in names))
                await deliverer.settled()
                await deliverer.tell(*(Addressee("ops", "slack").notification(resolved_event(2, n)) for n in names))
                await deliverer.settled()
        assert len(slack.roots) == 3
        assert sorted(slack.edits) == sorted(slack.roots)

    run_virtually(main())


def test_another_channel_is_told_instead_until_it_is_over() -> None:
    async def main() -> None:
        refusing: list[Any] = [web.Response(status=404)]
        async with WebReceiver(answers=refusing).listening() as bad, WebReceiver().listening() as good:
            channels: dict[str, tuple[str, dict[str, Any]]] = {
                "bad": ("webhook", {"url": bad.url, "fallback": "good"}),
                "good": ("webhook", {"url": good.url, "fallback": "bad"}),
            }
            async with delivering(channels, virtual=True) as deliverer:
                await deliverer.tell(Addressee("bad", "webhook").notification(firing_event()))
                await deliverer.settled()
                await deliverer.tell(Addressee("bad", "webhook").notification(resolved_event()))
                written = await deliverer.settled()
        told = [msgspec.json.decode(body)["data"] for _, body in good.requests]
        assert [one["type"] for one in told] == ["firing", "resolved"]
        assert told[0]["message"]["summary"][0] == "Told here instead of by the channel 'bad': HTTP 404"
        assert told[0]["instead_of"] == ["bad"]
        assert [(channel, reason) for channel, reason, _ in written.dead] == [("bad", "refused")]
        assert written.memory == {}

    run_virtually(main())


def test_a_channel_that_fails_for_long_falls_back_once_and_two_do_not_play_ping_pong() -> None:
    async def main() -> None:
        async with WebReceiver(answers=[web.Response(status=500) for _ in range(500)]).listening() as down:
            channels: dict[str, tuple[str, dict[str, Any]]] = {
                "one": ("webhook", {"url": down.url, "fallback": "two", "fallback_after": "2m"}),
                "two": ("webhook", {"url": down.url, "fallback": "one", "fallback_after": "2m"}),
            }
            async with delivering(channels, virtual=True) as deliverer:
                await deliverer.tell(Addressee("one", "webhook").notification(firing_event()))
                written = await deliverer.settled()
        assert {channel for channel, _, _ in written.dead} == {"one", "two"}
        assert len(written.dead) == 2

    run_virtually(main())


def test_what_waits_behind_others_for_a_channel_that_fails_goes_to_its_fallback_in_time() -> None:
    """Though the channel rests most of the time, and asks with one of them whether its receiver is back."""

    async def main() -> None:
        count = 200
        async with (
            WebReceiver(answers=[web.Response(status=500) for _ in range(500)]).listening() as down,
            WebReceiver().listening() as good,
        ):
            channels: dict[str, tuple[str, dict[str, Any]]] = {
                "bad": ("webhook", {"url": down.url, "fallback": "good", "fallback_after": "2m"}),
                "good": ("webhook", {"url": good.url}),
            }
            async with delivering(channels, virtual=True) as deliverer:
                names = [f"{number:016x}" for number in range(count)]
                await deliverer.tell(*(Addressee("bad", "webhook").notification(firing_event(1, n)) for n in names))
                await eventually(lambda: len(deliverer.written.taken) == count, poll_s=1.0)
                assert 120.0 <= asyncio.get_running_loop().time() <= 155.0
                await deliverer.settled()
        assert len(good.requests) == count

    run_virtually(main())


def test_what_went_to_another_owner_meanwhile_is_not_told_to_the_fallback() -> None:
    async def main() -> None:
        async with WebReceiver(answers=[web.Response(status=500) for _ in range(500)]).listening() as down:
            config = {"url": down.url, "fallback": "good", "fallback_after": "2m"}
            channels: dict[str, tuple[str, dict[str, Any]]] = {
                "bad": ("webhook", config),
                "good": ("webhook", {"url": down.url}),
            }
            async with delivering(channels, virtual=True) as deliverer:
                taken = deliverer.written.taken

                async def taken_away_at_ten(notification: Notification) -> None:
                    taken.append(notification)
                    if len(taken) == 10:
                        deliverer.claim.release()

                deliverer.written.hand_over = taken_away_at_ten  # type: ignore[method-assign]
                names = [f"{number:016x}" for number in range(50)]
                await deliverer.tell(*(Addressee("bad", "webhook").notification(firing_event(1, n)) for n in names))
                await eventually(lambda: asyncio.get_running_loop().time() > 600.0, poll_s=1.0)
        assert len(taken) == 10

    run_virtually(main())
