"""Beyond a channel's rate limit, and beyond its receiver: one digest, and another channel, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from aiohttp import web
from aiokafka import TopicPartition

from tocsin.context import Context
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.parking import Parking, Place
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.notification import Notification
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.delivering import Deliverer, delivering
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
        held = written.outcomes("ops").count("rate limited")
        assert held == 37, "each alert once, with its first notification"
        assert sorted(written.outcomes("ops")) == ["delivered"] * 45 + ["rate limited"] * held
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


class Shelved(Parking):
    """Parking with the records in memory instead of a topic."""

    def __init__(self, folder: Path, deliverer: Deliverer, limit: int) -> None:
        super().__init__(Context(Settings(), KafkaConnection("127.0.0.1:1"), Topics(), folder), limit)
        self._deliverer = deliverer
        self._shelf: dict[int, Notification] = {}
        self.brought = 0

    async def tell(self, *notifications: Notification) -> None:
        """As a consumer does: to the worker, or parked."""
        deliverer, place = self._deliverer, TopicPartition("notifications", 0)
        for one in notifications:
            worker = deliverer.workers.get(one.channel_type)
            if worker is None or not self.takes(one, worker.waiting(one.channel_id)):
                await deliverer.tell(one)
                continue
            offset, deliverer.count = deliverer.count, deliverer.count + 1
            deliverer.claim.ledger.begin(offset)
            self._shelf[offset] = one
            self.park(one, deliverer.claim, place, offset, deliverer.transport.clock.now_ms())

    async def _read(self, run: list[Place]) -> dict[int, Any]:
        return {place.offset: SimpleNamespace(partition=0, offset=place.offset) for place in run}

    def job(self, claim: Claim, record: Any) -> Job:
        return Job(self._shelf[record.offset], record, claim)

    def submit(self, job: Job) -> None:
        self.brought += 1
        self._deliverer.workers[job.notification.channel_type].submit(job)


def test_what_is_parked_goes_to_the_fallback_in_time_and_in_order_and_to_the_receiver_when_it_is_back(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        names = [f"{number:016x}" for number in range(150)]
        every = [firing_event(1, name) for name in names] + [firing_event(2, name, type="changed") for name in names]
        async with WebReceiver(answers=[web.Response(status=500) for _ in range(40)]).listening() as down:
            config = {"url": down.url, "fallback": "good", "fallback_after": "10s", "retry": {"max": "2s"}}
            channels: dict[str, tuple[str, dict[str, Any]]] = {
                "bad": ("webhook", config),
                "good": ("webhook", {"url": down.url}),
            }
            async with delivering(channels, virtual=True) as deliverer, asyncio.TaskGroup() as tasks:
                parking, taken = Shelved(tmp_path, deliverer, limit=100), deliverer.written.taken
                await parking.tell(*(Addressee("bad", "webhook").notification(event) for event in every))
                refill = tasks.create_task(parking.refill(deliverer.workers["webhook"], parking.job, parking.submit))
                await eventually(lambda: len(taken) == len(every), poll_s=0.5)
                assert 10.0 <= asyncio.get_running_loop().time() <= 15.0
                assert parking.brought == 0, "memory is bounded while the receiver is away"
                await eventually(lambda: deliverer.claim.ledger.pending == 0, poll_s=0.5)
                refill.cancel()
        assert [one.event.sequence for one in taken] == [1] * 150 + [2] * 150, "each once"
        assert deliverer.written.outcomes("bad").count("delivered") == len(every)
        assert parking.brought == 200

    run_virtually(main())
