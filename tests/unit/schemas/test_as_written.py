"""Rules as they were written: the same rules, but whatever they say is taken."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from tests.engine.cases import examples, rules

from tocsin.schemas.as_written import rule_as_written
from tocsin.schemas.codec import UnreadableRecord, decode_rule
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate


@examples(50)
@given(rules)
def test_a_valid_rule_is_the_same(rule: Rule) -> None:
    assert rule_as_written(rule.encoded, "r") == rule


def test_a_candidate_is_one() -> None:
    candidate = Candidate.of(Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 1}), 5, 9)
    read = rule_as_written(candidate.encoded, candidate.id)
    assert (type(read), read) == (Candidate, candidate)


@pytest.mark.parametrize(
    "said",
    [
        {"threshold": 1, "recovery_threshold": 9},
        {"threshold": None},
        {"threshold": 1, "max_series": 0},
        {"condition": "baseline", "threshold": -3},
        {"condition": "absence", "absence": {"after": "10ms"}},
        {"condition": "anomaly", "anomaly": {"detector": "peers"}},
        {"threshold": 1, "window": {"size": "1m", "step": "7m"}},
        {"threshold": 1, "runbook_url": "ftp://there"},
    ],
    ids=str,
)
def test_a_rule_that_is_refused_today_is_read(said: dict[str, Any]) -> None:
    value = orjson.dumps({"id": "r", "metric_type": "m", **said})
    with pytest.raises(UnreadableRecord):
        decode_rule(value, "r")
    read = rule_as_written(value, "r")
    assert rule_as_written(read.encoded, "r") == read


@pytest.mark.parametrize("said", [{"threshold": "x"}, {"threshold": 1, "duration": "soon"}, {"condition": "new"}])
def test_what_has_not_the_form_of_a_rule_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRecord, match=next(reversed(said))):
        rule_as_written(orjson.dumps({"id": "r", "metric_type": "m", **said}), "r")
