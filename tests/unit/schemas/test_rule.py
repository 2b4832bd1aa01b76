"""What a rule remembers of itself."""

from tocsin.schemas.rule import Rule


def test_a_copy_with_another_threshold_has_other_steps() -> None:
    rule = Rule.model_validate({"id": "slow", "metric_type": "response_time", "threshold": 1})
    assert rule.steps[0].threshold == 1

    changed = rule.model_copy(update={"threshold": 2.0})

    assert changed.steps[0].threshold == 2
    assert rule.steps[0].threshold == 1


def test_rules_are_equal_whether_or_not_their_steps_were_looked_at() -> None:
    rule, other = (Rule.model_validate({"id": "slow", "metric_type": "m", "threshold": 1}) for _ in range(2))
    assert rule.steps

    vars(other).pop("steps", None)

    assert rule == other
    assert rule.model_dump() == other.model_dump()
