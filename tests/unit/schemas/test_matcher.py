"""Matchers: what users write, and that a matcher's text is the matcher."""

from __future__ import annotations

import re2
from hypothesis import given
from hypothesis import strategies as st

from tocsin.schemas.codec import decode_document, encode_document
from tocsin.schemas.matcher import Matcher, matchers_from, parse_matchers
from tocsin.schemas.rule import Rule

signs = st.text(st.sampled_from('ab =!~"{},\\\n\t\x85\N{EM SPACE}'), max_size=12)
texts = st.one_of(signs, st.text(max_size=40))


@given(texts, st.sampled_from(["=", "!=", "=~", "!~"]), texts)
def test_the_text_of_a_matcher_parses_to_it(name: str, operator: str, value: str) -> None:
    matcher = Matcher(name, operator, re2.escape(value) if "~" in operator else value)
    assert parse_matchers(str(matcher)) == (matcher,)
    assert parse_matchers(f"{{{matcher}, {matcher}}}") == (matcher, matcher)


@given(st.dictionaries(texts, texts, max_size=4))
def test_a_rule_is_read_back_with_the_matchers_it_was_written_with(labels: dict[str, str]) -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 1, "match": labels})
    assert decode_document(Rule, encode_document(rule)).match == rule.match == matchers_from(labels)


def test_plain_names_stay_plain() -> None:
    assert str(Matcher("service.name", "=", "api")) == 'service.name="api"'
    assert str(Matcher("host name", "!=", "a1")) == '"host name"!="a1"'
