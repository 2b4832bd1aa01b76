"""A candidate in shadow says what it would say as the rule, nobody hears of it, and it ends by the log's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine import group_cases
from tests.engine.cases import BEGIN_MS, QUIET_MS, Sample, examples, message, rules, samples, timed
from tests.engine.test_checkpoint import assert_same

from tocsin.engine import frame
from tocsin.engine.evaluate.checkpoint import HEADER, checkpoint, restore
from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import Evaluated, step
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.watermark import Timing
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode, encode_document
from tocsin.schemas.labels import SHADOW
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate, ShadowProgress

LONG_MS = 3_600_000
HOOK = Channel(id="hook", type="webhook")


def in_shadow(rule: Rule, until_ms: int = BEGIN_MS + LONG_MS, run: int = -1) -> Candidate:
    return Candidate.of(rule, BEGIN_MS, until_ms, run)


def played(given_rules: Sequence[Rule], given_samples: Sequence[Sample], every: int = 10**9) -> Pipeline:
    pipeline = Pipeline(given_rules, [HOOK], Shape(sources=2, samples=2))
    clock_ms = BEGIN_MS
    for index, (at_ms, sample) in enumerate(timed(given_samples)):
        pipeline.publish(message(at_ms, sample), at_ms, str(sample.series).encode(), sample.series % 2)
        clock_ms = at_ms
        if index % every == every - 1:
            pipeline.run(clock_ms)
    for _ in range(3):
        pipeline.run(clock_ms)
        clock_ms += QUIET_MS
    return pipeline


def bare(events: Sequence[AlertEvent]) -> list[AlertEvent]:
    """Events without what must differ, each alert's in order."""
    found = [
        msgspec.structs.replace(event, id="", fingerprint=event.fingerprint.removeprefix(SHADOW), rule_revision=0)
        for event in events
    ]
    return sorted(found, key=lambda event: event.fingerprint)


def unnumbered(events: Sequence[AlertEvent]) -> list[AlertEvent]:
    """A candidate's record goes when it is at rest, so its events count anew; order and times are what counts."""
    return [msgspec.structs.replace(event, sequence=0) for event in bare(events)]


@examples(40)
@given(rules, rules, samples, st.integers(1, 20))
def test_a_candidate_says_what_it_would_say_alone_and_the_rule_does_not_notice(
    current: Rule, changed: Rule, given_samples: list[Sample], every: int
) -> None:
    current = current.model_copy(update={"notifications": ("hook",)})
    both = played([current, in_shadow(changed)], given_samples, every)
    assert [encode(event) for event in both.events] == [
        encode(event) for event in played([current], given_samples, every).events
    ]
    assert unnumbered(both.shadow_events) == unnumbered(played([changed], given_samples, every).events)
    assert {one.event.fingerprint for one in both.notifications} <= {event.fingerprint for event in both.events}


KINDS: list[dict[str, Any]] = [
    {"metric_type": "m", "group_by": ["service"], "window": {"size": "2s"}, "aggregation": "sum", "threshold": 1},
    {"metric_type": "m", "condition": "absence", "group_by": ["service"], "absence": {"after": "3s"}},
    {"metric_type": "m", "condition": "ratio", "ratio": {"per": "n"}, "window": {"size": "2s"}, "threshold": 0.5},
    {"condition": "composite", "conditions": ["low", "not high"], "combine": "any", "group_by": ["host"]},
]
MEMBERS = [
    Rule.model_validate({"id": name, "metric_type": "m", "operator": operator, "threshold": 0, "duration": "1s"})
    for name, operator in (("low", "lt"), ("high", "gt"))
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.get("condition", "group"))
@examples(10)
@given(given_samples=group_cases.samples(("m", "n")), way=group_cases.ways)
def test_a_candidate_on_groups_says_what_it_would_say_alone(
    kind: dict[str, Any], given_samples: list[Any], way: group_cases.Way
) -> None:
    changed = Rule.model_validate({"id": "r", **kind})
    current = changed.model_copy(update={"duration": 2_000})
    alone = group_cases.played([*MEMBERS, changed], given_samples, way)
    beside = group_cases.played([*MEMBERS, current, in_shadow(changed)], given_samples, way)
    assert unnumbered(beside.shadow_events) == unnumbered([one for one in alone.events if one.rule_id == "r"])
    before = group_cases.played([*MEMBERS, current], given_samples, way)
    assert group_cases.events_of(beside) == group_cases.events_of(before)


def book_of(*given_rules: Rule) -> RuleBook:
    book = RuleBook()
    for rule in given_rules:
        book.append(book.end, rule.id.encode(), encode_document(rule))
    return book


@examples(40)
@given(rules, rules, samples, st.integers(0, 60_000), st.sets(st.integers(0, 200), max_size=12), st.integers(0, 1_000))
def test_a_crash_around_the_end_of_a_candidate_changes_nothing(
    current: Rule, changed: Rule, given_samples: list[Sample], after_ms: int, saved: set[int], crash: int
) -> None:
    ends = in_shadow(changed, BEGIN_MS - 60_000 + after_ms)
    pipeline = played([current, ends], given_samples, 5)
    items = [frame.decode(record.value or b"") for record in pipeline.log.read("samples", 0)]
    crash, book, timing = crash % len(items), book_of(current, ends), Timing()
    calm, said = PartitionState(source="0"), [b""] * 0
    for offset, item in enumerate(items):
        said += told(step(calm, [item], offset, book, timing))
    table: dict[str, bytes] = {}
    state, again, offset = PartitionState(source="0"), list[bytes](), 0
    crashed = False
    while offset < len(items):
        again += told(step(state, [items[offset]], offset, book, timing))
        if offset in saved or offset == crash:
            entries, header = checkpoint(state)
            table |= {**entries, HEADER: header}
        if offset == crash and not crashed:
            before, state, crashed = state, restore(table.get, "0"), True
            assert_same(before, state)
            assert state.shadowed == before.shadowed
            assert state.plan.changes_ms == before.plan.changes_ms
        offset += 1
    assert again == said
    assert not [name for name in state.plan.versions if name.startswith(SHADOW)] or state.clock_ms < ends.ends_ms


def told(done: Evaluated) -> list[bytes]:
    return [*map(encode, done.signals), *map(encode, done.shadows)]


def seconds(pipeline: Pipeline, *values: float, begin: int = 0) -> None:
    for second, value in enumerate(values, begin):
        at_ms = BEGIN_MS + second * 1_000
        pipeline.publish(message(at_ms, Sample(0, 0, value)), at_ms)
        pipeline.run(at_ms)


def test_it_ends_by_itself_and_the_rule_goes_on() -> None:
    rule = Rule(id="r", metric_type="m", threshold=5)
    pipeline = Pipeline([rule, in_shadow(rule, BEGIN_MS + 10_000)])
    seconds(pipeline, *[9.0] * 60, 9.0, *[9.0] * 30)
    assert [(event.type, event.reason) for event in pipeline.shadow_events] == [
        ("firing", "condition"), ("resolved", "rule deleted"),
    ]  # fmt: skip
    assert pipeline.shadow_events[-1].updated_at == "2023-11-14T22:14:30.000Z"  # until, and a minute for stragglers
    assert [event.type for event in pipeline.events] == ["firing"]


def test_another_candidate_begins_anew_and_one_that_goes_on_does_not() -> None:
    rule = Rule(id="r", metric_type="m", threshold=5)
    pipeline = Pipeline([in_shadow(rule)])
    seconds(pipeline, 9.0, 9.0)
    pipeline.put_rule(in_shadow(rule, BEGIN_MS + 2 * LONG_MS, run=0))
    seconds(pipeline, 9.0, 9.0, begin=2)
    assert [event.type for event in pipeline.shadow_events] == ["firing"]
    pipeline.put_rule(in_shadow(rule.model_copy(update={"threshold": 6.0})))
    seconds(pipeline, 9.0, 9.0, begin=4)
    said = [(event.type, event.rule_revision) for event in pipeline.shadow_events]
    assert said == [("firing", 0), ("resolved", 1), ("firing", 2)]
    assert pipeline.events == []


def test_it_is_counted_what_a_candidate_has_seen() -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, "match": ['series=~"0|1"']})
    book = book_of(rule, in_shadow(rule))
    given_samples = [Sample(number % 4, 1_000, 9.0) for number in range(40)]
    pipeline = played([rule, in_shadow(rule)], given_samples, 1)
    found: dict[str, ShadowProgress] = {}
    for partition in range(2):
        state = PartitionState(source=str(partition))
        for offset, record in enumerate(pipeline.log.read("samples", partition)):
            done = step(state, [frame.decode(record.value or b"")], offset, book, Timing())
            found |= {one.partition: one for one in done.shadows}
    assert sum(one.samples for one in found.values()) == 20
    assert sum(one.series for one in found.values()) == 2
    assert {(one.rule_id, one.run) for one in found.values()} == {("r", 1)}


def test_a_candidate_keeps_no_late_samples_and_is_written_whole() -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, "keep_late": True, "duration": "5m"})
    candidate = in_shadow(rule)
    assert candidate.rule == rule
    read = book_of(candidate).plan_after(Plan(), 1, 0).versions["shadow/r"].rule
    assert (read.keep_late, read.duration, read.title) == (False, 300_000, "r")


def test_what_a_candidate_says_carries_the_names_of_the_rule() -> None:
    body = {"annotations": {"what": "{{ rule_id }} {{ rule_name }}"}, "labels": {"by": "{{ rule_id }}"}}
    pipeline = Pipeline([in_shadow(Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 5, **body}))])
    seconds(pipeline, 9.0)
    (event,) = pipeline.shadow_events
    assert (event.rule_id, event.rule_name, event.annotations) == ("r", "r", {"what": "r r"})
    assert event.labels == {"series": "0", "zone": "a", "by": "r"}


LEARNING: list[dict[str, Any]] = [
    {"condition": "anomaly", "anomaly": {"sensitivity": "high"}},
    {"condition": "baseline", "baseline": {"width": 6}},
    {"threshold": "auto", "operator": "gt", "baseline": {"width": 6}},
]


@pytest.mark.parametrize("asked", LEARNING, ids=lambda asked: asked.get("condition", "auto"))
def test_a_candidate_knows_what_its_rule_has_learnt_if_it_learns_alike(asked: dict[str, Any]) -> None:
    kind = next(name for name in ("anomaly", "baseline") if name in asked)
    current = Rule.model_validate({"id": "r", "metric_type": "m", **asked, kind: {}})
    alike = Rule.model_validate({"id": "r", "metric_type": "m", **asked})
    learns_otherwise = Rule.model_validate(alike.document() | {kind: {**asked[kind], "memory": "1h"}})
    ordinary = [10.0 + (second * 37 % 17) / 10 for second in range(200)]
    for candidate, knows in ((alike, True), (learns_otherwise, False)):
        pipeline = Pipeline([current])
        seconds(pipeline, *ordinary)
        pipeline.put_rule(in_shadow(candidate))
        seconds(pipeline, *ordinary[:10], 9_000.0, begin=200)
        assert [event.type for event in pipeline.events] == ["firing"]
        assert [event.type for event in pipeline.shadow_events] == ["firing"] * knows
        if knows:
            told, tried = (events[0].expected or {} for events in (pipeline.events, pipeline.shadow_events))
            assert (tried["value"], tried["score"]) == (told["value"], told["score"])
