"""Rules that name each other: in which order they can be written, and who is over whom."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tocsin.schemas.composites import composites_over, member_problems, members_first
from tocsin.schemas.rule import Rule


def composite(rule_id: str, *members: str) -> Rule:
    return Rule.model_validate({"id": rule_id, "condition": "composite", "conditions": members})


@given(st.lists(st.sets(st.integers(0, 7)), max_size=8), st.randoms())
def test_no_rule_comes_before_its_members(over: list[set[int]], random: Random) -> None:
    rules = {}
    for number, members in enumerate(over):
        below = [f"r{member}" for member in sorted(members) if member < number]
        rule_id = f"r{number}"
        rules[rule_id] = composite(rule_id, *below) if below else Rule(id=rule_id, metric_type="m", threshold=1)
    ids = sorted(rules)
    random.shuffle(ids)
    found = members_first(ids, rules)
    assert sorted(found) == sorted(ids)
    for rule in rules.values():
        assert all(found.index(member.rule) < found.index(rule.id) for member in rule.conditions)


def test_a_composite_names_who_is_over_whom_and_what_is_missing() -> None:
    known: dict[str, Rule | None] = {"a": None, "c": composite("c", "a", "bb"), "d": composite("d", "a", "c")}
    assert composites_over("a", known) == ["c", "d"]
    assert composites_over("d", known) == []
    assert [text for _, text in member_problems(composite("c", "a", "bb"), known, "in force")] == [
        "there is no rule 'bb' in force; add it, or name another"
    ]
    back = composite("c", "d")
    assert list(member_problems(back, {**known, "c": back}, "in force")) == [
        (("conditions", 0, "rule"), "goes round in a circle: c > d > c; take one out")
    ]
