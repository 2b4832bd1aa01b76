"""The delivery service against a real Kafka and real receivers: each once, in order, nothing again."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer, ConsumerRecord

from tocsin.context import Context
from tocsin.deliver.credentials import seal_config
from tocsin.deliver.guard import Guard
from tocsin.deliver.protocol import Transport
from tocsin.deliver.service import serve
from tocsin.kafka.admin import group_states
from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode, encode, encode_document
from tocsin.schemas.notification import Delivery, Notification, Remembered
from tocsin.schemas.settings import DeliverySettings, Settings
from tocsin.schemas.topics import Cleanup, Topics, TopicSpec
from tocsin.testing import collect, create_topics, eventually
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.providers import Slack
from tocsin.testing.receivers import MailReceiver, WebReceiver
from tocsin.vault import load_or_create_key

LOOPBACK = (ip_network("127.0.0.0/8"),)


def notification(channel: str, kind: str, about: AlertEvent | None = None, *, test: bool = False) -> Notification:
    return Addressee(channel, kind).notification(about, test=test)


@dataclass
class Service:
    """The service under test, with its topics."""

    kafka: str
    topics: Topics
    context: Context
    output: io.StringIO = field(default_factory=io.StringIO)
    placed: dict[str, Channel] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self, *kinds: str) -> AsyncIterator[asyncio.Event]:
        stop = asyncio.Event()
        guard = Guard(LOOPBACK)
        async with guard.session() as session:
            transport = Transport(guard, session, ssl.create_default_context(), output=self.output)
            task = asyncio.create_task(serve(self.context, kinds, stop, transport))
            try:
                yield stop
                stop.set()
                await asyncio.wait_for(task, 20)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def channel(self, identity: str, kind: str, **config: Any) -> None:
        sealed = seal_config(
            Channel(id=identity, type=kind, config=config), load_or_create_key(self.context.data_dir, None)
        )
        self.placed[identity] = sealed
        await self.send(self.topics.channels, identity.encode(), encode_document(sealed))

    async def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        async with started(AIOKafkaProducer(**producer_arguments(self.context.connection)), self.kafka) as producer:
            await producer.send_and_wait(topic, value, key=key)

    async def notify(self, *notifications: Notification) -> None:
        async with started(AIOKafkaProducer(**producer_arguments(self.context.connection)), self.kafka) as producer:
            for one in notifications:
                topic = self.topics.notifications(one.channel_type)
                await producer.send_and_wait(topic, encode(one), key=one.group_key.encode())

    async def deliveries(self, count: int, outcome: str | None = None, deadline_s: float = 30.0) -> list[Delivery]:
        def chosen(records: Sequence[ConsumerRecord]) -> list[Delivery]:
            found = [decode(Delivery, record.value) for record in records]
            return [one for one in found if outcome in (None, one.outcome)]

        records = await collect(
            self.kafka, self.topics.deliveries, until=lambda seen: len(chosen(seen)) >= count, deadline_s=deadline_s
        )
        return chosen(records)


@pytest.fixture
def service(kafka: str, topics: Topics, tmp_path: Path) -> Service:
    settings = Settings(delivery=DeliverySettings(allow_networks=LOOPBACK, public_url="https://tocsin.example.com"))
    data_dir = tmp_path / "data"
    return Service(kafka, topics, Context(settings, KafkaConnection(kafka), topics, data_dir))


async def test_all_four_types_deliver_one_message_each(service: Service) -> None:
    async with (
        WebReceiver().listening() as hook,
        WebReceiver().listening() as slack,
        MailReceiver().listening() as mail,
    ):
        await service.channel("hook", "webhook", url=hook.url, method="POST", headers={}, secret="s3cret", timeout=5)
        await service.channel("chat", "slack", webhook_url=slack.url, channel="#ops", username="tocsin")
        await service.channel("screen", "console", enabled=True)
        await service.channel(
            "mail",
            "email",
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            username="alerts",
            password="geheim",
            from_address="alerts@example.com",
            to_addresses=["ops@example.com"],
            subject="Alert: {{ rule_name }}",
            enabled=True,
        )
        kinds = {"hook": "webhook", "chat": "slack", "screen": "console", "mail": "email"}
        async with service.running():
            await service.notify(*(notification(identity, kind) for identity, kind in kinds.items()))
            found = await service.deliveries(4)
        assert {one.channel_id: one.outcome for one in found} == dict.fromkeys(kinds, "delivered")
        assert len(hook.requests) == len(slack.requests) == len(mail.mails) == 1
        body = msgspec.json.decode(hook.requests[0][1])
        assert body["type"] == "tocsin.alert.firing"
        assert body["data"]["fingerprint"] == "9f2c000000000001"
        assert "1,234.5 ms" in service.output.getvalue()
        assert mail.mails[0]["Subject"] == "Alert: High Response Time Alert"


async def test_a_restart_sends_nothing_again_even_if_the_commit_was_lost(service: Service) -> None:
    async with WebReceiver().listening() as hook:
        await service.channel("hook", "webhook", url=hook.url)
        sent = [notification("hook", "webhook", firing_event(number)) for number in range(1, 6)]
        async with service.running("webhook"):
            await service.notify(*sent)
            await service.deliveries(5, "delivered")
        # Another group stands for lost commits: it begins at the beginning and knows of them by `deliveries` alone.
        other = replace(service, context=replace(service.context, topics=_Regrouped(service.topics)))
        last = notification("hook", "webhook", firing_event(6))
        async with other.running("webhook"):
            await service.notify(last)
            await service.deliveries(6, "delivered")
        assert hook.ids == [one.id for one in (*sent, last)]


class _Regrouped(Topics):
    """The same topics; consumer groups of another name."""

    def __init__(self, topics: Topics) -> None:
        super().__init__(topics.prefix)
        self._real = topics.prefix
        self.prefix = f"{topics.prefix}again."

    def notifications(self, channel_type: str) -> str:
        return f"{self._real}notifications.{channel_type}"


async def test_transient_failures_are_tried_again_in_order_and_refusals_are_dead_lettered(service: Service) -> None:
    failing = [web.Response(status=500), web.Response(status=503, headers={"Retry-After": "1"})]
    async with (
        WebReceiver(answers=failing).listening() as hook,
        WebReceiver(answers=[web.Response(status=404)]).listening() as gone,
    ):
        await service.channel("hook", "webhook", url=hook.url, retry={"initial": "10ms", "max": "20ms"})
        await service.channel("gone", "webhook", url=gone.url)
        first, second = (
            notification("hook", "webhook", firing_event(n, type=kind)) for n, kind in ((1, "firing"), (2, "resolved"))
        )
        refused = notification("gone", "webhook")
        async with service.running("webhook"):
            await service.notify(first, second, refused)
            delivered = await service.deliveries(2, "delivered")
            (failed,) = await service.deliveries(1, "failed")
        assert hook.ids == [first.id, first.id, first.id, second.id]
        assert [one.attempt for one in delivered] == [3, 1]
        assert (failed.status_code, failed.notification_id) == (404, refused.id)
        (record,) = await collect(service.kafka, service.topics.dlq, count=1)
        headers = {name: value.decode() for name, value in record.headers}
        assert decode(Notification, record.value) == refused
        assert headers["reason"] == "refused"
        assert headers["channel_id"] == "gone"
        assert headers["topic"] == service.topics.notifications("webhook")
        assert {"partition", "offset", "detail"} <= headers.keys()


async def test_a_hanging_channel_holds_up_no_other_of_its_type(service: Service) -> None:
    async with WebReceiver(hold=asyncio.Event()).listening() as hanging, WebReceiver().listening() as prompt:
        await service.channel("hanging", "webhook", url=hanging.url, timeout="60s")
        await service.channel("prompt", "webhook", url=prompt.url)
        async with service.running("webhook"):
            for number in range(30):
                await service.notify(notification("hanging", "webhook", firing_event(number, f"{number:016x}")))
            await eventually(lambda: hanging.requests)
            await service.notify(*(notification("prompt", "webhook", firing_event(n, f"{n:016x}")) for n in range(30)))
            await service.deliveries(30, "delivered")
            assert len(prompt.requests) == 30
            assert len(hanging.requests) <= 8
            assert hanging.hold is not None
            hanging.hold.set()
            await service.deliveries(60, "delivered")
        assert sorted(hanging.ids) == sorted(set(hanging.ids))


async def test_what_names_no_channel_and_what_is_unreadable_is_dead_lettered(service: Service) -> None:
    async with WebReceiver().listening() as hook:
        await service.channel("off", "webhook", url=hook.url, enabled=False)
        async with service.running("webhook"):
            await service.send(service.topics.notifications("webhook"), b"k", b"{not json")
            await service.notify(notification("nobody", "webhook"), notification("off", "webhook"))
            failed = await service.deliveries(2, "failed")
        records = await collect(service.kafka, service.topics.dlq, count=3)
        reasons = sorted(dict(record.headers)["reason"].decode() for record in records)
        assert reasons == ["channel unusable", "channel unusable", "unreadable"]
        details = {one.channel_id: one.detail for one in failed}
        assert details["nobody"] == "there is no channel 'nobody'; create it, then redrive"
        assert details["off"] == "channel 'off' is disabled; enable it, then redrive"
        assert hook.requests == []


async def test_a_test_send_reaches_a_disabled_channel_and_fails_at_once(service: Service) -> None:
    async with (
        WebReceiver().listening() as hook,
        WebReceiver(answers=[web.Response(status=500, text="echo s3cret-word")]).listening() as broken,
    ):
        await service.channel("off", "webhook", url=hook.url, enabled=False)
        await service.channel("broken", "webhook", url=broken.url, secret="s3cret-word")
        async with service.running("webhook"):
            await service.notify(
                notification("off", "webhook", test=True), notification("broken", "webhook", firing_event(2), test=True)
            )
            (delivered,) = await service.deliveries(1, "delivered")
            (failed,) = await service.deliveries(1, "failed")
        assert delivered.channel_id == "off"
        assert delivered.test
        assert failed.detail == "HTTP 500: echo ********"
        assert await collect(service.kafka, service.topics.dlq) == []


async def test_a_type_is_delivered_once_it_has_a_channel_or_something_that_nobody_settled(service: Service) -> None:
    """What lies there for a channel that is gone is given up; a type that nobody uses has no consumer."""
    await service.notify(notification("gone", "console"))
    async with WebReceiver().listening() as hook, service.running():
        (given_up,) = await service.deliveries(1)
        assert (given_up.channel_id, given_up.outcome) == ("gone", "failed")
        groups = {kind: service.context.group(f"deliver.{kind}") for kind in ("console", "webhook", "email")}
        states = await group_states(service.context.connection, list(groups.values()))
        members = {kind: states.get(group, ("", 0))[1] for kind, group in groups.items()}
        assert members == {"console": 1, "webhook": 0, "email": 0}
        await service.channel("hook", "webhook", url=hook.url)
        await service.notify(notification("hook", "webhook"))
        found = await service.deliveries(2)
        assert {one.channel_id: one.outcome for one in found} == {"gone": "failed", "hook": "delivered"}
        await service.notify(notification("gone", "email"))
        await service.deliveries(3)


async def _messages(service: Service) -> dict[str, Remembered | None]:
    """What lies on `messages`, as it is now."""
    records = await collect(service.kafka, service.topics.messages)
    return {record.key.decode(): decode(Remembered, record.value) if record.value else None for record in records}


async def test_what_a_channel_said_is_gone_on_with_by_another_process_until_it_is_over(service: Service) -> None:
    async with Slack().listening() as slack:
        await service.channel("bot", "slack", bot_token=slack.token, channel=slack.channel, api_url=f"{slack.url}/api")
        key = "bot/9f2c000000000001"
        async with service.running("slack"):
            await service.notify(notification("bot", "slack", firing_event(1)))
            await service.deliveries(1, "delivered")
        (root,) = slack.roots
        kept = (await _messages(service))[key]
        assert kept is not None
        assert kept.reference["ts"] == root
        async with service.running("slack"):
            worse = firing_event(2, type="changed", severity="critical")
            await service.notify(notification("bot", "slack", worse))
            await service.deliveries(2, "delivered")
            await service.notify(notification("bot", "slack", resolved_event(3)))
            await service.deliveries(3, "delivered")
            await eventually(lambda: _is_forgotten(service, key), 20, "the last word")
        assert slack.roots == [root]
        assert slack.edits == [root, root]
        assert slack.complaints == []


async def test_what_a_deleted_channel_said_is_forgotten_at_once_or_at_the_next_start(service: Service) -> None:
    async with Slack().listening() as slack:
        config = {"bot_token": slack.token, "channel": slack.channel, "api_url": f"{slack.url}/api"}
        keys = {name: f"{name}/9f2c000000000001" for name in ("now", "later", "kept")}
        for name in keys:
            await service.channel(name, "slack", **config)
        async with service.running("slack"):
            await service.notify(*(notification(name, "slack") for name in keys))
            await service.deliveries(3, "delivered")
            await service.send(service.topics.channels, b"now", None)
            await eventually(lambda: _is_forgotten(service, keys["now"]), 20, "the channel that is deleted")
        assert (await _messages(service))[keys["later"]] is not None
        await service.send(service.topics.channels, b"later", None)
        async with service.running("slack"):
            await eventually(lambda: _is_forgotten(service, keys["later"]), 20, "the one that was deleted meanwhile")
        assert (await _messages(service))[keys["kept"]] is not None


async def _is_forgotten(service: Service, key: str) -> bool:
    found = await _messages(service)
    return key in found and found[key] is None


async def test_a_topic_of_the_users_gets_the_event_with_its_cloudevents_headers(
    service: Service, topic_prefix: str
) -> None:
    topic = f"users-{topic_prefix}alerts"
    await create_topics(service.kafka, [TopicSpec(topic, 3, Cleanup.DELETE)])
    await service.channel("stream", "kafka", topic=topic)
    event = firing_event(1)
    async with service.running("kafka"):
        await service.notify(notification("stream", "kafka", event), notification("stream", "kafka", resolved_event(2)))
        sent = await service.deliveries(2, "delivered")
    first, last = await collect(service.kafka, topic, count=2)
    assert first.key == last.key == event.fingerprint.encode(), "in one partition, in order"
    headers = {name: value.decode() for name, value in first.headers}
    assert (headers["ce_specversion"], headers["ce_type"]) == ("1.0", "tocsin.alert.firing")
    assert (headers["ce_id"], headers["ce_time"]) == (sent[0].notification_id, event.updated_at)
    body = msgspec.json.decode(first.value)
    assert (body["value"], body["message"]["title"]) == (1234.5, "High Response Time Alert")
    assert [one.receipt for one in sent] == [f"{topic}, partition {first.partition}, offset {n}" for n in (0, 1)]
    assert b"/act/" not in first.value, "programs have tokens of their own"
