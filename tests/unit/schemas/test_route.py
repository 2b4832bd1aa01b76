"""Routings: what is refused, what is doubted, and what comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError
from tests.routing.cases import routings

from tocsin.engine.route.lint import lint
from tocsin.engine.route.tree import Tree
from tocsin.schemas.codec import decode_document, encode_document
from tocsin.schemas.problems import field_errors
from tocsin.schemas.route import Routing

ROOT = {"channels": ["chat"]}
JOINED: dict[str, Any] = {"name": "joined", "by": ["a"], "channels": ["chat"]}


@given(routings)
def test_a_routing_comes_back_from_its_topic_and_its_document_as_it_was(given_: dict[str, Any]) -> None:
    routing = Routing.model_validate(given_)
    assert decode_document(Routing, encode_document(routing)) == routing
    assert Routing.model_validate(routing.document()) == routing
    keys = [node.key for node in Tree(routing).root.walk()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("given_", "field", "text"),
    [
        ({"route": {}}, "route.channels", "is missing"),
        ({"route": {**ROOT, "match": ["a=b"]}}, "route.match", "takes every alert"),
        ({"route": {**ROOT, "continue": True}}, "route.continue", "takes every alert"),
        ({"route": {**ROOT, "routes": [{"match": ["=x"]}]}}, "route.routes.0.match.0", "is not a matcher"),
        ({"route": {**ROOT, "routes": [{"matchers": ["a=x"]}]}}, "route.routes.0.matchers", "did you mean 'match'?"),
        ({"route": {**ROOT, "routes": [{"receiver": "a"}]}}, "route.routes.0.receiver", "did you mean 'channels'?"),
        ({"route": {**ROOT, "routes": [{"contineu": True}]}}, "route.routes.0.contineu", "did you mean 'continue'?"),
        ({"route": {**ROOT, "group_interval": "0s"}}, "route.group_interval", "must be longer than zero"),
        ({"route": {**ROOT, "group_wait": "soon"}}, "route.group_wait", "is not a duration"),
        ({"route": {**ROOT, "group_by": ["a", "a"]}}, "route.group_by", "names a label twice"),
        ({"route": {**ROOT, "group_by": ["...", "a"]}}, "route.group_by", "means every label"),
        (
            {"route": {**ROOT, "routes": [{"mute_time_intervals": ["nihgt"]}]}, "time_intervals": [
                {"name": "night", "time_intervals": [{}]}]},
            "route.routes.0.mute_time_intervals.0", "did you mean 'night'?",
        ),
        (
            {"route": ROOT, "dependencies": [{"needs": {"a": ["b"], "b": ["a"]}}]},
            "dependencies.0.needs.a", "needs itself",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(given_: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Routing.model_validate(given_)
    found = field_errors(raised.value, Routing)
    assert field in [one.field for one in found]
    assert any(text in one.message for one in found if one.field == field)


@pytest.mark.parametrize(
    ("given_", "where", "text"),
    [
        ({"route": {**ROOT, "routes": [{}, {"match": ["a=x"]}]}}, "route.routes.1", "route.routes.0 takes all of them"),
        (
            {"route": {**ROOT, "routes": [{"match": ["a=~x|y"]}, {"match": ["a=x"]}]}},
            "route.routes.1", "takes all of them",
        ),
        (
            {"route": {**ROOT, "routes": [{"match": ["a=x"], "routes": [{"match": ["a=y"]}]}]}},
            "route.routes.0.routes.0", "exclude each other",
        ),
        (
            {"route": ROOT, "inhibit_rules": [{"source": ["severity=critical"], "target": ["severity=warning"]}]},
            "inhibit_rules.0", "keeps every target quiet",
        ),
        (
            {"route": ROOT, "inhibit_rules": [{"source": ["a=x"], "target": ["b!=y"], "equal": ["c"]}]},
            "inhibit_rules.0", "its target matches alerts without any labels",
        ),
        ({"route": ROOT, "time_intervals": [{"name": "n", "time_intervals": [{}]}]}, "time_intervals.0", "no route"),
        (
            {"route": ROOT, "correlations": [JOINED, {**JOINED, "name": "b", "by": ["a", "b"], "match": ["c=x"]}]},
            "correlations.1", "'joined' takes all of them",
        ),
        ({"route": ROOT, "correlations": [{**JOINED, "match": ["a=x", "a=y"]}]}, "correlations.0", "exclude"),
    ],
)  # fmt: skip
def test_what_is_hardly_meant_is_named(given_: dict[str, Any], where: str, text: str) -> None:
    (found,) = lint(Routing.model_validate(given_))
    assert ".".join(map(str, found[0])) == where
    assert text in found[1]


@pytest.mark.parametrize(
    "first", [{"continue": True}, {"by": ["a", "b"]}, {"match": ["c=x"]}], ids=["goes on", "needs more", "takes less"]
)
def test_correlation_rules_that_alerts_reach_are_not_doubted(first: dict[str, Any]) -> None:
    given_ = {"route": ROOT, "correlations": [{**JOINED, **first}, {**JOINED, "name": "other"}]}
    assert lint(Routing.model_validate(given_)) == []


@pytest.mark.parametrize(
    "routes",
    [
        [{"continue": True}, {"match": ["a=x"]}],
        [{"match": ["a=x"]}, {"match": ["a=~x|y"]}],
        [{"match": ["a=x"]}, {"match": ["a!=x"]}],
    ],
)
def test_what_makes_sense_is_not_doubted(routes: list[dict[str, Any]]) -> None:
    assert lint(Routing.model_validate({"route": {**ROOT, "routes": routes}})) == []
