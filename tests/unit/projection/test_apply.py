"""Records that no table can hold are refused one by one, and what a good one becomes fits every database."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import ConsumerRecord

from tocsin.projection.apply import Change, changes_of
from tocsin.schemas.codec import UnreadableRecord, encode
from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.notification import Delivery
from tocsin.schemas.shadow import ShadowProgress
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import firing_event

TOPICS = Topics()
READ = changes_of(TOPICS)
FINGERPRINT = "9f2c000000000001"
RULE = {"id": "slow", "metric_type": "response_time", "threshold": 1000}


def record(
    topic: str,
    key: bytes | None,
    value: bytes | None,
    at_ms: int = 1_764_000_000_000,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(topic, 0, 7, at_ms, 0, key, value, None, -1, -1, headers)


def event(**changes: Any) -> bytes:
    return json.dumps({**msgspec.to_builtins(firing_event()), **changes}).encode()


def row(change: Change | None) -> dict[str, Any]:
    assert change is not None
    assert change[2] is not None
    return change[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"updated_at": "yesterday"},
        {"starts_at": "2026-11-23"},
        {"fired_at": "12:00"},
        {"sequence": 2**63},
        {"sequence": 2**64},
        {"rule_id": "r" * 129},
        {"id": "i" * 65},
        {"fingerprint": "f" * 33},
        {"category": "c" * 129},
        {"severity": "s" * 17},
        {"evidence": orjson.loads(b'{"a":' * 250 + b"1" + b"}" * 250)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_event_that_no_row_can_hold_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord):
        READ[TOPICS.alerts](record(TOPICS.alerts, FINGERPRINT.encode(), event(**changes)))


@pytest.mark.parametrize("value", [b"", b"nonsense", b"[]", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("topic", [TOPICS.alerts, TOPICS.deliveries])
def test_what_is_no_event_and_no_delivery_is_unreadable(topic: str, value: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        READ[topic](record(topic, b"key", value))


def test_a_delivery_at_no_time_is_unreadable() -> None:
    delivery = Delivery(
        id="a", notification_id="n", channel_id="c", channel_type="email", event_id="e", fingerprint=FINGERPRINT,
        rule_id="slow", event_type="firing", attempt=1, outcome="delivered", at="once",
    )  # fmt: skip
    with pytest.raises(UnreadableRecord, match="RFC 3339"):
        READ[TOPICS.deliveries](record(TOPICS.deliveries, b"n", encode(delivery)))


@pytest.mark.parametrize("topic", [TOPICS.rules, TOPICS.channels])
@pytest.mark.parametrize(
    "value", [b"nonsense", b"{}", b"[]", b"1", b"null", b'{"id":"slow","type":"email","metric_type":5}']
)
def test_a_configuration_entry_that_is_none_changes_nothing(topic: str, value: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        READ[topic](record(topic, b"slow", value))


def test_an_entry_under_the_key_of_another_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord, match="'slow' lies under the key 'other'"):
        READ[TOPICS.rules](record(TOPICS.rules, b"other", orjson.dumps(RULE)))
    with pytest.raises(UnreadableRecord, match="lies under the key"):
        READ[TOPICS.alert_state](record(TOPICS.alert_state, b"0000", event()))


def test_a_rule_from_any_time_can_be_dated() -> None:
    for at_ms in (-1, 2**62):
        found = row(READ[TOPICS.rules](record(TOPICS.rules, b"slow", orjson.dumps(RULE), at_ms)))
        assert 0 <= found["updated_ms"] <= MAX_MS


@pytest.mark.parametrize("partition", ["²", "-1", "1" * 40, "x", "", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_dead_letter_with_strange_headers_is_listed(partition: str) -> None:
    headers = (("partition", partition.encode()), ("offset", b"5"), ("reason", b"r" * 200), ("topic", b"\xff"))
    found = row(READ[TOPICS.dlq](record(TOPICS.dlq, None, None, headers=headers)))
    body = orjson.loads(found["body"])
    assert (body["partition"], body["offset"], len(found["reason"])) == (None, 5, 64)


def test_no_text_of_a_row_has_what_postgresql_does_not_take() -> None:
    labels = {"a": "x\x00y", "b": "1\x1fservice=api"}
    found = row(READ[TOPICS.alerts](record(TOPICS.alerts, FINGERPRINT.encode(), event(labels=labels))))
    assert not any("\x00" in value for value in found.values() if isinstance(value, str))
    assert "\x1fservice=api\x1f" not in found["labels"]


CANDIDATE = {**RULE, "id": "shadow/slow", "since_ms": 0, "until_ms": 1_000}


def test_a_candidate_in_shadow_lies_beside_its_rule() -> None:
    change = READ[TOPICS.rules](record(TOPICS.rules, b"shadow/slow", orjson.dumps(CANDIDATE)))
    assert (row(change)["kind"], row(change)["id"]) == ("shadows", "shadow/slow")
    assert READ[TOPICS.rules](record(TOPICS.rules, b"shadow/slow", None)) == (change[0], "shadows/shadow/slow", None)  # type: ignore[index]
    for key, value in ((b"slow", CANDIDATE), (b"shadow/slow", RULE), (b"shadow/fast", CANDIDATE)):
        with pytest.raises(UnreadableRecord):
            READ[TOPICS.rules](record(TOPICS.rules, key, orjson.dumps(value)))


def test_what_a_candidate_says_and_has_seen_are_rows_of_its_rule() -> None:
    said = event(fingerprint="shadow/" + FINGERPRINT, rule_id="r" * 128, rule_revision=7)
    found = row(READ[TOPICS.shadow_alerts](record(TOPICS.shadow_alerts, b"k", said)))
    assert (found["rule_id"], found["revision"]) == ("r" * 128, 7)
    progress = encode(ShadowProgress("r" * 128, 7, "3", 40, 2, 1_764_000_000_000))
    found = row(READ[TOPICS.shadow_progress](record(TOPICS.shadow_progress, b"k", progress)))
    assert (found["id"], found["samples"], found["series"]) == ("r" * 128 + "/3", 40, 2)
