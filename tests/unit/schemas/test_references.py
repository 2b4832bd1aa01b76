"""What people, schedules and policies name of each other."""

from __future__ import annotations

from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.references import circles


def policy(name: str, then: str | None) -> EscalationPolicy:
    steps = [{"notify": ["email"]}]
    return EscalationPolicy.model_validate({"id": name, "steps": steps, "next_policy": then, "pause": "1m"})


def test_policies_that_lead_back_to_themselves_are_named_with_the_way() -> None:
    one, two, three = policy("one", "two"), policy("two", "three"), policy("three", "one")
    ((path, text),) = circles(one, [two, three])
    assert path == ("next_policy",)
    assert text == "leads back, from 'one' to 'two' to 'three' to 'one', without end; remove it, and set repeat"


def test_policies_that_end_or_lead_into_the_circle_of_others_are_fine() -> None:
    two, three = policy("two", "three"), policy("three", "two")
    assert list(circles(policy("one", "two"), [two, three])) == []
    assert list(circles(policy("one", "two"), [policy("two", None)])) == []
    assert list(circles(policy("one", "gone"), [])) == []
