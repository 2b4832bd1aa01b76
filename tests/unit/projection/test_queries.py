"""What the tables answer, whatever order and letter case the database itself prefers.

On SQLite, or on the empty database that TOCSIN_TEST_DATABASE_URL names.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord

from tocsin.projection.apply import apply, changes_of
from tocsin.projection.database import Database, opened
from tocsin.projection.queries import (
    AlertFilter,
    BadCursor,
    Page,
    active_alerts,
    alert_history,
    documents,
    inhibiting,
    timeline,
)
from tocsin.schemas.codec import encode
from tocsin.schemas.decision import Decision, Outcome
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import firing_event, resolved_event

TOPICS = Topics()
FINGERPRINT = "9f2c000000000001"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(os.environ.get("TOCSIN_TEST_DATABASE_URL"), tmp_path) as found:
        await found.wipe()
        yield found


async def follow(database: Database, *records: tuple[str, str, bytes]) -> None:
    read = changes_of(TOPICS)
    changes = [
        change
        for offset, (topic, key, value) in enumerate(records)
        if (change := read[topic](ConsumerRecord(topic, 0, offset, 0, 0, key.encode(), value, None, -1, -1, ())))
    ]
    async with database.writing() as connection:
        await apply(connection, changes)


async def test_labels_match_by_the_letter(database: Database) -> None:
    event = encode(firing_event(labels={"service": "api", "share": "5%_"}))
    await follow(database, (TOPICS.alert_state, FINGERPRINT, event))

    async def count(**labels: str) -> int:
        return (await active_alerts(database, AlertFilter(labels=labels), Page())).total

    assert (await count(service="api"), await count(service="api", share="5%_")) == (1, 1)
    assert (await count(service="API"), await count(Service="api"), await count(service="ap")) == (0, 0, 0)
    assert (await count(share="5%%"), await count(share="5__")) == (0, 0)


async def test_the_timeline_keeps_the_order_of_transitions(database: Database) -> None:
    """The samples were far ahead of the clock when somebody resolved the alert, and behind it in the next episode."""
    events = [
        firing_event(1, updated_at="2026-11-23T10:09:00.000Z"),
        resolved_event(2, updated_at="2026-11-23T10:05:00.000Z", reason="manual"),
        firing_event(1, starts_at="2026-11-24T10:00:00.000Z", updated_at="2026-11-23T10:00:00.000Z", id="after-a-loss"),
    ]
    await follow(database, *((TOPICS.alerts, FINGERPRINT, encode(event)) for event in reversed(events)))
    found = await timeline(database, FINGERPRINT)
    assert [event["id"] for event in found] == [event.id for event in events]
    assert [event["id"] for event in await timeline(database, FINGERPRINT, 1)] == ["after-a-loss"]


async def test_documents_are_in_the_order_of_code_points(database: Database) -> None:
    ids = ["b", "A", "a", "a_1", "a.1", "B", "a-1"]
    rules = [(TOPICS.rules, id_, orjson.dumps({"id": id_, "metric_type": "m", "threshold": 1})) for id_ in ids]
    await follow(database, *rules)
    assert [entry.id for entry in await documents(database, "rules")] == sorted(ids)


async def test_what_inhibits_alerts_is_what_the_latest_decision_names_and_is_active(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decided(outcome: Outcome, minute: int, *by: str, fingerprint: str = FINGERPRINT) -> tuple[str, str, bytes]:
        at = f"2026-11-23T10:{minute:02}:00.000Z"
        found = Decision(
            id=f"{fingerprint}-{minute}", at=at, fingerprint=fingerprint, rule_id="r", event_id="e",
            outcome=outcome, by=by,
        )  # fmt: skip
        return TOPICS.decisions, fingerprint, encode(found)

    active = [(TOPICS.alert_state, name, encode(firing_event(1, name))) for name in ("old", "new", "of-another")]
    await follow(
        database, *active, decided("inhibited", 1, "old"), decided("inhibited", 3, "new", "over"),
        decided("silenced", 4, "old"), decided("inhibited", 2, "of-another", fingerprint="other"),
    )  # fmt: skip

    async def names(*fingerprints: str) -> list[str]:
        return sorted(one["fingerprint"] for one in await inhibiting(database, fingerprints))

    assert await names(FINGERPRINT) == ["new"]
    monkeypatch.setattr("tocsin.projection.queries._MOST_NAMES", 1)
    assert await names(FINGERPRINT, "other", "nobody") == ["new", "of-another"]
    assert await names() == []


@pytest.mark.parametrize("held", [[2**64 - 1, "a"], [-(2**63) - 1, "a"], [1, "\x00"], [1, 2], [1], {}, "x", ["1", "a"]])
async def test_a_forged_cursor_is_refused(database: Database, held: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(held).encode()).decode()
    with pytest.raises(BadCursor):
        await alert_history(database, AlertFilter(), Page(2, cursor))
