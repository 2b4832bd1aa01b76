"""The OpenAPI document: its schemas hold what answers have."""

from __future__ import annotations

import orjson
import pytest
from aiokafka import ConsumerRecord

from tocsin.api.openapi import document
from tocsin.projection.apply import changes_of
from tocsin.schemas.topics import Topics


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Rule", {"revision", "updated_at", "warnings"}),
        ("Channel", {"revision", "updated_at"}),
        ("Person", {"revision", "updated_at"}),
        ("Schedule", {"revision", "updated_at"}),
        ("EscalationPolicy", {"revision", "updated_at"}),
        ("Routing", {"revision", "updated_at", "warnings"}),
        ("Silence", {"revision", "updated_at", "state", "preview"}),
    ],
)
def test_what_answers_add_to_an_entry_is_described_and_is_not_for_writing(name: str, fields: set[str]) -> None:
    schema = document()["components"]["schemas"][name]
    assert schema["additionalProperties"] is False
    assert {field for field, of in schema["properties"].items() if of.get("readOnly")} == fields


def test_a_dead_letter_is_described_as_it_is_answered() -> None:
    topic = Topics().dlq
    change = changes_of(Topics())[topic](ConsumerRecord(topic, 0, 7, 0, 0, None, b"x", None, -1, -1, ()))
    assert change is not None
    assert change[2] is not None
    answered = {*orjson.loads(change[2]["body"]), "redriven_at"}
    schema = document()["components"]["schemas"]["DeadLetter"]
    assert {*schema["properties"]} == {*schema["required"]} == answered
