"""Rules edited at any moment: alerts end once and for a stated reason, or their state goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import AGGREGATIONS, BEGIN_MS, WINDOWS, Sample, examples, message, rounded, samples, timed
from tests.oracle.machine import Machine, Verdict
from tests.oracle.windows import values_of

from tocsin.engine.evaluate.checkpoint import checkpoint
from tocsin.engine.pipeline import Pipeline
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

BASE: dict[str, Any] = {"id": "r", "metric_type": "m", "threshold": 1, "recovery_threshold": -1, "duration": "2s"}
LEVELS = [{"severity": "info", "threshold": 1}, {"severity": "error", "threshold": 3, "duration": "0s"}]
LEVELLED = {**BASE, "threshold": None, "recovery_threshold": None, "levels": LEVELS}
LASTING = [
    {},
    {"threshold": 3},
    {"threshold": 0, "recovery_threshold": None},
    {"duration": "0s"},
    {"duration": "9s"},
    {"keep_firing_for": "4s"},
    {"cooldown": "10s"},
    {"name": "another", "annotations": {"a": "b"}},
]
CHANGING = [
    {"operator": "lt", "recovery_threshold": None},
    LEVELLED,
    {"match": {"zone": "a"}},
    {"window": {"size": "1s"}},
    {"condition": "range", "threshold": None, "recovery_threshold": None, "lower": 0, "upper": 1},
]
Edit = tuple[str, dict[str, Any]]
edits = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(LASTING)),
    st.tuples(st.just("put"), st.sampled_from(CHANGING)),
    st.tuples(st.sampled_from(["delete", "disable", "anew"]), st.just({})),
)
scripts = st.lists(st.tuples(st.integers(0, 60), edits), max_size=6)


@dataclass
class Model:
    """What is in force, and the alert of each series; a rule that is another begins with nothing."""

    rule: Rule | None
    machines: dict[int, Machine] = field(default_factory=dict)
    said: list[tuple[int, Verdict]] = field(default_factory=list)

    def sample(self, at_ms: int, sample: Sample) -> None:
        if self.rule is None or self.rule.window:  # a window of the edited rules is not modelled
            return
        machine = self.machines.setdefault(sample.series, Machine(self.rule))
        machine.judge(at_ms, sample.value, 1)
        self.said += [(sample.series, verdict) for verdict in machine.said]
        machine.said.clear()

    def follow(self, rule: Rule | None, reason: str, at_ms: int) -> None:
        """Go on under another rule: with the state, unless there is a reason to end."""
        if not reason:
            assert rule is not None
            for machine in self.machines.values():
                machine.rule = rule
        else:
            for series, machine in self.machines.items():
                active = [stage.since_ms for stage in machine.stages if stage.since_ms is not None]
                if active:
                    level = machine.shown() or 0
                    verdict = Verdict("ended", min(active), at_ms, machine.value, 0, level, reason)
                    self.said.append((series, verdict))
            self.machines.clear()
        self.rule = rule


def goes_on(old: Rule | None, new: Rule) -> bool:
    """Whether only figures of a rule changed, and not what it looks at."""
    if old is None:
        return False
    same = ("condition", "operator", "inside", "match", "window", "aggregation")
    return all(getattr(old, name) == getattr(new, name) for name in same) and [
        level.severity for level in old.levels
    ] == [level.severity for level in new.levels]


def apply(pipeline: Pipeline, model: Model, edit: Edit, at_ms: int) -> None:
    kind, change = edit
    if kind == "delete":
        pipeline.delete_rule("r")
        model.follow(None, "rule deleted", at_ms)
    elif kind == "disable":
        rule = Rule.model_validate({**BASE, "enabled": False})
        pipeline.put_rule(rule)
        model.follow(None, "rule disabled", at_ms)
    elif kind == "anew":  # deleted and written again before anybody looked
        rule = Rule.model_validate(BASE)
        pipeline.delete_rule("r")
        pipeline.put_rule(rule)
        model.follow(rule, "" if goes_on(model.rule, rule) else "rule changed", at_ms)
    else:
        rule = Rule.model_validate({name: value for name, value in {**BASE, **change}.items() if value is not None})
        pipeline.put_rule(rule)
        model.follow(rule, "" if goes_on(model.rule, rule) else "rule changed", at_ms)


@examples(100)
@given(samples, scripts)
def test_an_edit_ends_alerts_once_or_lets_them_go_on(
    given_samples: list[Sample], script: list[tuple[int, Edit]]
) -> None:
    rule = Rule.model_validate(BASE)
    pipeline, model = Pipeline([rule]), Model(rule)
    pipeline.run(BEGIN_MS)
    for index, (at_ms, sample) in enumerate(timed(given_samples)):
        for when, edit in script:
            if when % len(given_samples) == index:
                pipeline.run(at_ms - 1)  # what came before is judged by what was in force
                apply(pipeline, model, edit, at_ms - 1)
                pipeline.run(at_ms - 1)
        pipeline.publish(message(at_ms, sample), at_ms, str(sample.series).encode())
        model.sample(at_ms, sample)
        pipeline.run(at_ms)
    found = [
        (
            int(one.labels["series"]),
            Verdict(one.kind, one.since_ms, one.at_ms, one.value, one.evidence.samples, one.level, one.reason),
        )
        for one in pipeline.signals
        if not _of_window(pipeline, one)
    ]
    assert sorted(found, key=str) == sorted([(series, rounded(verdict)) for series, verdict in model.said], key=str)


@examples(60)
@given(samples, st.lists(st.lists(st.sampled_from(LASTING), max_size=25), min_size=1, max_size=12))
def test_of_many_edits_between_two_samples_only_the_last_was_ever_in_force(
    given_samples: list[Sample], bursts: list[list[dict[str, Any]]]
) -> None:
    rule = Rule.model_validate(BASE)
    pipeline, model = Pipeline([rule]), Model(rule)
    pipeline.run(BEGIN_MS)
    written = 1
    for index, (at_ms, sample) in enumerate(timed(given_samples)):
        for change in bursts[index % len(bursts)]:
            fields = {name: of for name, of in {**BASE, **change}.items() if of is not None}
            rule, written = Rule.model_validate(fields), written + 1
            pipeline.put_rule(rule)
        pipeline.run(at_ms - 1)
        model.follow(rule, "", at_ms)
        pipeline.publish(message(at_ms, sample), at_ms, str(sample.series).encode())
        model.sample(at_ms, sample)
        already = len(pipeline.signals)
        pipeline.run(at_ms)
        assert {one.revision for one in pipeline.signals[already:]} <= {written - 1}
    found = [
        (
            int(one.labels["series"]),
            Verdict(one.kind, one.since_ms, one.at_ms, one.value, one.evidence.samples, one.level, one.reason),
        )
        for one in pipeline.signals
    ]
    assert sorted(found, key=str) == sorted([(series, rounded(verdict)) for series, verdict in model.said], key=str)


@pytest.mark.parametrize("edited", ["other", "alike"])
def test_an_edit_costs_nothing_where_nothing_changed(edited: str) -> None:
    """No lane but that of the edited rule is written anew, and that one only where what is kept of it changed."""
    alike = {**BASE, "id": "alike"}
    rules = [Rule.model_validate(body) for body in (BASE, alike, {**BASE, "id": "other", "match": {"zone": "a"}})]
    pipeline = Pipeline(rules)
    pipeline.publish(message(BEGIN_MS, Sample(0, 0, 1.0)), BEGIN_MS)
    pipeline.run(BEGIN_MS + 1_000)
    (state,) = pipeline.states
    checkpoint(state)
    before = {key: (lane, list(lane.judges.values())) for key, lane in state.lanes.items()}
    change = {**BASE, "id": edited, "threshold": 5} | ({"match": {"zone": "a"}} if edited == "other" else {})
    pipeline.put_rule(Rule.model_validate(change))
    pipeline.run(BEGIN_MS + 2_000)
    assert [name for name in checkpoint(state)[0] if name.startswith("lane/")] == []
    for key, (lane, judges) in before.items():
        assert state.lanes[key] is lane
        is_watched_by_it = edited in {version.rule.id for version in lane.versions()}
        assert (
            all(one is other for one, other in zip(lane.judges.values(), judges, strict=True)) is not is_watched_by_it
        )


def _of_window(pipeline: Pipeline, one: Signal) -> bool:
    rule = pipeline._book.rule_at("r", one.revision)
    return rule is not None and rule.window is not None


@examples(40)
@given(
    st.sampled_from(WINDOWS),
    st.lists(st.sampled_from(AGGREGATIONS), min_size=2, max_size=5, unique=True),
    samples,
    st.lists(st.integers(0, 60), min_size=5, max_size=5),
)
def test_rules_that_join_a_window_change_nothing_for_others_and_see_no_part_of_one(
    window: dict[str, Any], aggregations: list[str], given_samples: list[Sample], joins: list[int]
) -> None:
    rules = [
        Rule.model_validate({"id": name, "metric_type": "m", "threshold": 0.37, "window": window, "aggregation": name})
        for name in aggregations
    ]
    alone = {rule.id: _played([(0, rule)], given_samples) for rule in rules[:1]}
    together = _played([(0, rules[0]), *zip(joins, rules[1:], strict=False)], given_samples)
    first = aggregations[0]
    assert [one for one in together if one[0] == first] == alone[first]
    every_value = _possible(rules, given_samples)
    for rule_id, series, verdict in together:
        assert (rule_id, series, verdict.at_ms, rounded(verdict).value, verdict.samples) in every_value or (
            rule_id != first and verdict.samples > 0 and _is_partial(window)
        )


def _is_partial(window: dict[str, Any]) -> bool:
    """Whether a window that began before a rule was written has fewer samples for it."""
    return window.get("type") in ("sliding", "count")


def _played(joining: Sequence[tuple[int, Rule]], given_samples: Sequence[Sample]) -> list[tuple[str, int, Verdict]]:
    pipeline = Pipeline([rule for when, rule in joining if when == 0])
    clock_ms = BEGIN_MS
    pipeline.run(clock_ms)
    for index, (at_ms, sample) in enumerate(timed(given_samples)):
        for when, rule in joining:
            if when > 0 and when % len(given_samples) == index:
                pipeline.put_rule(rule)
                pipeline.run(at_ms - 1)
        pipeline.publish(message(at_ms, sample), at_ms, str(sample.series).encode())
        pipeline.run(at_ms)
        clock_ms = at_ms
    pipeline.run(clock_ms + 60_000)
    return [
        (
            one.rule_id,
            int(one.labels["series"]),
            Verdict(one.kind, one.since_ms, one.at_ms, one.value, one.evidence.samples),
        )
        for one in pipeline.signals
    ]


def _possible(rules: Sequence[Rule], given_samples: Sequence[Sample]) -> set[tuple[str, int, int, float, int]]:
    """Every (rule, series, time, value, samples) of a whole window."""
    found = set()
    for series in range(4):
        mine = [(at_ms, sample.value) for at_ms, sample in timed(given_samples) if sample.series == series]
        for rule in rules:
            for value in values_of(rule, mine):
                shown = rounded(Verdict("", 0, 0, value.value, 0)).value
                found.add((rule.id, series, value.at_ms, shown, value.samples))
    return found


def test_levels_that_come_later_begin_with_nothing() -> None:
    pipeline = Pipeline([Rule.model_validate({**BASE, "duration": "0s"})])
    for second, value in enumerate([9.0, -9.0, 9.0]):
        if second == 2:
            pipeline.put_rule(Rule.model_validate({name: of for name, of in LEVELLED.items() if of is not None}))
        at_ms = BEGIN_MS + second * 1_000
        pipeline.publish(message(at_ms, Sample(0, 0, value)), at_ms)
        pipeline.run(at_ms)
    assert [(one.kind, one.level) for one in pipeline.signals] == [("firing", 0), ("ended", 0), ("firing", 1)]
