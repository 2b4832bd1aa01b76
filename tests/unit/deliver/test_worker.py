"""The worker with channels and messages that are beyond it: given up with a reason, and the next one is sent."""

from __future__ import annotations

import asyncio
import io
import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from tocsin.deliver.directory import Directory
from tocsin.deliver.guard import Guard
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.message import compose
from tocsin.deliver.protocol import Transport
from tocsin.deliver.worker import Surroundings, Worker
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.notification import Delivery
from tocsin.testing import eventually
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.vault import Vault


class Written:
    """The journal, in memory."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.dead: list[tuple[str, str]] = []

    async def record(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    async def give_up(self, _record: Any, reason: str, _channel_id: str, detail: str) -> None:
        self.dead.append((reason, detail))


async def settled(channels: list[Channel], kind: str = "console") -> Written:
    """Deliver one notification to each channel, and wait until all are settled."""
    guard, journal, directory, claim = Guard(), Written(), Directory(), Claim()
    for channel in channels:
        await directory.apply(channel.id, encode_document(channel))
    async with guard.session() as session:
        transport = Transport(guard, session, ssl.create_default_context(), output=io.StringIO())
        stand_in: Any = journal
        around = Surroundings(directory, Vault(bytes(range(32))), transport, stand_in, "https://tocsin.example.com")
        async with Worker(kind, around, lambda: True) as worker:
            for offset, channel in enumerate(channels):
                record: Any = SimpleNamespace(partition=0, offset=offset)
                assert claim.ledger.begin(offset)
                notification = Addressee(channel.id, kind).notification(firing_event(offset + 1))
                worker.submit(Job(notification, record, claim))
            await eventually(lambda: claim.ledger.committable == len(channels))
    return journal


async def test_a_channel_type_of_another_version_is_unusable_and_nothing_else() -> None:
    pigeon = Channel(id="loft", type="carrier-pigeon", config={"enabled": True})
    written = await settled([pigeon, Channel(id="screen", type="console")])
    assert [one.outcome for one in written.deliveries] == ["failed", "delivered"]
    ((reason, detail),) = written.dead
    assert reason == "channel unusable"
    assert "carrier-pigeon" in detail


async def test_a_message_that_cannot_be_written_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_on_the_first(notification: Any, *rest: Any) -> Any:
        if notification.channel_id == "first":
            raise KeyError("labels")
        return compose(notification, *rest)

    monkeypatch.setattr("tocsin.deliver.worker.compose", fails_on_the_first)
    async with asyncio.timeout(30):
        written = await settled([Channel(id="first", type="console"), Channel(id="second", type="console")])
    assert {one.channel_id: one.outcome for one in written.deliveries} == {"first": "failed", "second": "delivered"}
    assert written.dead == [("refused", "the channel failed on this notification: KeyError")]
