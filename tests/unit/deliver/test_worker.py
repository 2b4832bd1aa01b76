"""The worker with channels and messages that are beyond it: given up with a reason, and the next one is sent."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tocsin.deliver.memory import Memory
from tocsin.deliver.message import compose
from tocsin.deliver.tail import Tail
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.testing.delivering import delivering


async def test_a_channel_type_of_another_version_is_unusable_and_nothing_else() -> None:
    async with delivering({"screen": ("console", {})}, output=io.StringIO()) as deliverer:
        pigeon = Channel(id="loft", type="carrier-pigeon", config={"enabled": True})
        await deliverer.directory.apply("loft", encode_document(pigeon))
        for channel in ("loft", "screen"):
            await deliverer.tell(Addressee(channel, "console").notification(firing_event()))
        written = await deliverer.settled()
    assert [one.outcome for one in written.deliveries] == ["failed", "delivered"]
    ((_, reason, detail),) = written.dead
    assert reason == "channel unusable"
    assert "carrier-pigeon" in detail


async def test_a_template_that_was_stored_before_it_was_refused_keeps_no_message_back() -> None:
    shown = io.StringIO()
    async with delivering({"screen": ("console", {})}, output=shown) as deliverer:
        screen = Channel(id="screen", type="console", config={"enabled": True, "template": "{{ labels.copy() }}"})
        await deliverer.directory.apply("screen", encode_document(screen))
        await deliverer.tell(Addressee("screen", "console").notification(firing_event()))
        written = await deliverer.settled()
    assert [one.outcome for one in written.deliveries] == ["delivered"]
    assert "1,234.5 ms" in shown.getvalue()


async def test_a_message_that_cannot_be_written_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_on_the_first(notification: Any, *rest: Any) -> Any:
        if notification.channel_id == "first":
            raise KeyError("labels")
        return compose(notification, *rest)

    monkeypatch.setattr("tocsin.deliver.composer.compose", fails_on_the_first)
    channels: dict[str, tuple[str, dict[str, Any]]] = {"first": ("console", {}), "second": ("console", {})}
    async with delivering(channels, output=io.StringIO()) as deliverer:
        for channel in channels:
            await deliverer.tell(Addressee(channel, "console").notification(firing_event()))
        written = await deliverer.settled()
    assert {one.channel_id: one.outcome for one in written.deliveries} == {"first": "failed", "second": "delivered"}
    assert written.dead == [("first", "refused", "the channel failed on this notification: KeyError")]


async def test_what_an_earlier_process_delivered_is_not_sent_again_however_much_is_delivered_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tocsin.deliver.worker._REMEMBERED", 1)
    hour = [Addressee("screen", "console").notification(firing_event(one)) for one in range(5)]
    before, since = hour[:3], hour[3:]
    async with delivering({"screen": ("console", {})}, output=io.StringIO()) as deliverer:
        await deliverer.tell(since[0])
        await deliverer.settled()
        deliverer.workers["console"].remember(Tail("console", {one.id for one in before}), Memory())
        await deliverer.tell(since[1], *before)
        written = await deliverer.settled()
    assert [one.notification_id for one in written.deliveries] == [one.id for one in since]
