"""Dead letters put back: in the order in which they came, and only while somebody is still to hear of them."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
from msgspec.structs import replace

from tocsin.api.state import Api
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import decode, encode
from tocsin.schemas.notification import Delivery, Notification
from tocsin.testing import collect, eventually
from tocsin.testing.alerts import Addressee, firing_event, resolved_event

FIRED, OVER = firing_event(1), resolved_event(2)
TOLD = Addressee("hook", "webhook")


async def test_what_fires_goes_back_before_its_end_and_not_once_that_was_told(
    served: tuple[Api, aiohttp.ClientSession],
) -> None:
    api, session = served
    topics = api.context.topics
    for event in (OVER, FIRED):
        await _dead_letter(api, event)
    over, fires = await _ids(session, 2)
    assert await _redriven(session, [over, fires]) == {"redriven": 2, "ids": [over, fires], "overtaken": {}}
    back = await collect(api.context.connection.bootstrap_servers, topics.notifications("webhook"), count=2)
    assert [decode(Notification, record.value).event.type for record in back] == ["firing", "resolved"]

    told = Delivery(
        id="d", notification_id=TOLD.notification(OVER).id, channel_id="hook", channel_type="webhook",
        event_id=OVER.id, fingerprint=OVER.fingerprint, rule_id=OVER.rule_id, event_type="resolved", attempt=1,
        outcome="delivered", at="2100-01-01T00:00:00.000Z",
    )  # fmt: skip
    for one in (told, replace(told, id="e", channel_id="other", at="2100-01-01T00:00:01.000Z")):
        await api.producer.send_and_wait(topics.deliveries, encode(one), key=one.notification_id.encode())
    await eventually(lambda: _delivered(session, 2))
    why = "the channel 'hook' was told at 2100-01-01T00:00:00.000Z that it is over"
    assert await _redriven(session, [fires]) == {"redriven": 0, "ids": [], "overtaken": {fires: why}}


async def _dead_letter(api: Api, event: AlertEvent) -> None:
    origin = {"topic": api.context.topics.notifications("webhook"), "partition": "0", "offset": str(event.sequence)}
    headers = [(name, value.encode()) for name, value in {**origin, "reason": "refused"}.items()]
    value = encode(TOLD.notification(event))
    await api.producer.send_and_wait(api.context.topics.dlq, value, key=b"k", headers=headers)


async def _ids(session: aiohttp.ClientSession, count: int) -> list[str]:
    async def found() -> list[str]:
        async with session.get("/api/v1/dlq") as answer:
            body = await answer.json()
        return [one["id"] for one in body["items"]][::-1] if body["total"] == count else []

    return await eventually(found)


async def _delivered(session: aiohttp.ClientSession, count: int) -> bool:
    async with session.get("/api/v1/deliveries") as answer:
        return bool((await answer.json())["total"] == count)


async def _redriven(session: aiohttp.ClientSession, ids: list[str]) -> Any:
    async with session.post("/api/v1/dlq/redrive", json={"ids": ids}) as answer:
        assert answer.status == 200, await answer.text()
        return orjson.loads(await answer.read())
