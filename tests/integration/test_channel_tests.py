"""A test of a channel leaves nothing open at its receiver."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer

from tocsin.api.state import Api
from tocsin.kafka.clients import consumer_arguments, started
from tocsin.schemas.codec import decode, encode
from tocsin.schemas.notification import Delivery, Notification, Outcome

CONFIGS: dict[str, dict[str, Any]] = {
    "pagerduty": {"routing_key": "a" * 32},
    "opsgenie": {"api_key": "k"},
    "console": {},
}


CASES: list[tuple[str, list[Outcome], list[str]]] = [
    ("pagerduty", ["delivered", "delivered"], ["firing", "resolved"]),
    ("opsgenie", ["delivered", "failed"], ["firing", "resolved"]),
    ("pagerduty", ["failed"], ["firing"]),
    ("console", ["delivered"], ["firing"]),
]


async def test_an_incident_of_a_test_is_closed_again(served: tuple[Api, aiohttp.ClientSession]) -> None:
    api, session = served
    for number, (kind, said, wanted) in enumerate(CASES):
        channel_id = f"c{number}"
        channel = {"id": channel_id, "type": kind, "config": CONFIGS[kind]}
        async with session.post("/api/v1/channels", json=channel) as answer:
            assert answer.status == 201, await answer.text()
        receiving = asyncio.create_task(_receive(api, channel_id, kind, said))
        async with session.post("/api/v1/channels/test", json={"channel": channel_id}) as answer:
            body = await answer.json()
            assert answer.status == 200, body
        told = await receiving
        assert [one.event.type for one in told] == wanted
        assert len({(one.group_key, one.event.fingerprint) for one in told}) == 1
        assert all(one.test for one in told)
        assert ("closing" in body) is (len(said) > 1)
        answers = [body, *([body["closing"]] if len(said) > 1 else [])]
        assert [(one["notification_id"], one["outcome"]) for one in answers] == [
            (one.id, outcome) for one, outcome in zip(told, said, strict=True)
        ]


async def _receive(api: Api, channel_id: str, kind: str, said: list[Outcome]) -> list[Notification]:
    """Deliver what comes, with these outcomes."""
    topics, connection = api.context.topics, api.context.connection
    consumer = AIOKafkaConsumer(topics.notifications(kind), **consumer_arguments(connection))
    told: list[Notification] = []
    async with started(consumer, connection.bootstrap_servers), asyncio.timeout(30):
        while len(told) < len(said):
            one = decode(Notification, (await consumer.getone()).value)
            if one.channel_id != channel_id:
                continue
            outcome = said[len(told)]
            told.append(one)
            done = Delivery(
                id=one.id, notification_id=one.id, channel_id=channel_id, channel_type=kind, event_id=one.event.id,
                fingerprint=one.event.fingerprint, rule_id=one.event.rule_id, event_type=one.event.type, attempt=1,
                outcome=outcome, at=one.created_at, test=one.test,
            )  # fmt: skip
            await api.producer.send_and_wait(topics.deliveries, encode(done), key=one.id.encode())
    return told
