"""The OpenAPI document: its schemas hold what answers have."""

from __future__ import annotations

import pytest

from tocsin.api.openapi import document


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
