"""Composites against a model that goes through what their members said, moment by moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.group_cases import BEGIN_MS, IN_ORDER, Way, bounded, events_of, message, played, samples, ways
from tests.engine.group_oracle import Sample

from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

Said = tuple[str, int, int]  # kind, since, at
Moments = list[tuple[int, bool]]
NEVER = 10**15


def member(name: str, **more: Any) -> Rule:
    return Rule.model_validate({"id": name, "metric_type": name[0], "threshold": 0, **more})


MEMBERS = [member("m"), member("n", duration="1s"), member("o", on_no_data="alert", no_data_after="3s")]


@st.composite
def composites(draw: st.DrawFn, over: Sequence[str] = ("m", "n", "o")) -> Rule:
    names = draw(st.lists(st.sampled_from(over), min_size=1, max_size=3, unique=True))
    policies = st.sampled_from(["ok", "keep", "alert"])
    conditions = [{"rule": name, "negate": draw(st.booleans()), "on_no_data": draw(policies)} for name in names]
    body = {
        "id": "c",
        "condition": "composite",
        "conditions": conditions,
        "combine": draw(st.sampled_from(["all", "any", 1, len(names)])),
        "group_by": draw(st.sampled_from([["service"], ["host", "service"], []])),
        "duration": draw(st.sampled_from(["0s", "0s", "500ms", "3s"])),
        "keep_firing_for": draw(st.sampled_from(["0s", "0s", "2s"])),
        "cooldown": draw(st.sampled_from(["0s", "0s", "10s"])),
        "allowed_lateness": "9s",  # what has no data is noticed later than what comes
    }
    return Rule.model_validate(body)


def group_of(rule: Rule, labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, labels[name]) for name in sorted(rule.group_by) if labels.get(name))


def moments_of(rule: Rule, signals: Sequence[Signal]) -> dict[tuple[tuple[str, str], ...], Moments]:
    """When something changed in each group, and whether the composite holds from then on."""
    groups: defaultdict[tuple[tuple[str, str], ...], list[Signal]] = defaultdict(list)
    for one in signals:
        if one.rule_id in {each.rule for each in rule.conditions} and one.kind != "pending":
            groups[group_of(rule, one.labels)].append(one)
    found: dict[tuple[tuple[str, str], ...], Moments] = {}
    for key, own in groups.items():
        states: dict[tuple[str, str], str] = {}
        truth: dict[str, bool] = {}
        found[key] = []
        for at_ms in sorted({one.order[1] for one in own}):
            for one in sorted((one for one in own if one.order[1] == at_ms), key=lambda one: one.order):
                told = "no data" if one.reason == "no data" else "firing"
                states[one.rule_id, one.fingerprint] = "rest" if one.kind == "ended" else told
            found[key].append((at_ms, holds(rule, states, truth)))
    return found


def holds(rule: Rule, states: dict[tuple[str, str], str], truth: dict[str, bool]) -> bool:
    count = 0
    for each in rule.conditions:
        of_rule = {state for (name, _), state in states.items() if name == each.rule}
        if "firing" in of_rule or "no data" not in of_rule:
            truth[each.rule] = "firing" in of_rule
        elif each.on_no_data != "keep":
            truth[each.rule] = each.on_no_data == "alert"
        count += truth.get(each.rule, False) is not each.negate
    named = {"all": len(rule.conditions), "any": 1}
    return count >= (rule.combine if isinstance(rule.combine, int) else named[rule.combine])


class Machine:
    """One group: between the moments at which something changes only holds run out."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.state, self.since, self.due, self.fired = "rest", 0, 0, -NEVER
        self.said: list[Said] = []

    def say(self, kind: str, at_ms: int, state: str) -> None:
        self.said.append((kind, self.since, at_ms))
        self.state = state
        if kind == "firing":
            self.fired = at_ms

    def until(self, at_ms: int) -> None:
        if self.state == "pending" and self.due < at_ms:
            self.say("firing", self.due, "firing")
        elif self.state == "keeping" and self.due < at_ms:
            self.say("ended", self.due, "rest")

    def holds(self, at_ms: int) -> None:
        if self.state == "keeping":
            self.state = "firing"
        if self.state == "rest":
            self.since = at_ms
            self.due = max(at_ms + self.rule.duration, self.fired + self.rule.cooldown)
            if self.due > at_ms:
                self.say("pending", at_ms, "pending")
        if self.state in ("rest", "pending") and self.due <= at_ms:
            self.say("firing", at_ms, "firing")

    def fails(self, at_ms: int) -> None:
        if self.state == "firing":
            self.state, self.due = "keeping", at_ms + self.rule.keep_firing_for
        if self.state == "pending" or (self.state == "keeping" and self.due <= at_ms):
            self.say("ended", at_ms, "rest")


def verdicts(rule: Rule, moments: Moments) -> list[Said]:
    """What is said of one group."""
    machine = Machine(rule)
    for at_ms, is_true in moments:
        machine.until(at_ms)
        (machine.holds if is_true else machine.fails)(at_ms)
    machine.until(NEVER)
    return machine.said


def wanted(rule: Rule, signals: Sequence[Signal]) -> dict[tuple[tuple[str, str], ...], list[Said]]:
    found = {key: verdicts(rule, moments) for key, moments in moments_of(rule, signals).items()}
    return {key: values for key, values in found.items() if values}


def said(rule: Rule, signals: Sequence[Signal]) -> dict[tuple[tuple[str, str], ...], list[Said]]:
    found: defaultdict[tuple[tuple[str, str], ...], list[Said]] = defaultdict(list)
    for one in signals:
        if one.rule_id == rule.id:
            found[tuple(sorted(one.labels.items()))].append((one.kind, one.since_ms, one.at_ms))
    return dict(found)


@bounded
@given(composites(), samples(("m", "n", "o"), 40), ways)
def test_composites_say_what_follows_from_their_members(rule: Rule, given_samples: list[Sample], way: Way) -> None:
    signals = played([*MEMBERS, rule], given_samples, way).signals
    assert said(rule, signals) == wanted(rule, signals)


@bounded
@given(composites(("m", "n")), samples(("m", "n"), 40), ways)
def test_order_partitions_and_cuts_of_members_do_not_show(rule: Rule, given_samples: list[Sample], way: Way) -> None:
    patient = {"allowed_lateness": "5s"}
    rules = [member("m", **patient), member("n", duration="1s", **patient), rule]
    assert events_of(played(rules, given_samples, way), "c") == events_of(played(rules, given_samples, IN_ORDER), "c")


@bounded
@given(composites(("m", "g", "inner")), samples(("m", "n"), 30), ways)
def test_composites_look_at_groups_and_composites(rule: Rule, given_samples: list[Sample], way: Way) -> None:
    outer = rule.model_copy(update={"group_by": ("service",), "allowed_lateness": 20_000})
    group = Rule.model_validate(
        {"id": "g", "metric_type": "n", "group_by": ["service"], "window": {"size": "1s"}, "threshold": 1}
    )
    inner = Rule.model_validate(
        {"id": "inner", "condition": "composite", "conditions": ["m", "not g"], "group_by": ["service"]}
    )
    signals = played([MEMBERS[0], group, inner, outer], given_samples, way).signals
    assert said(outer, signals) == wanted(outer, signals)


COMPOSITE = Rule.model_validate(
    {"id": "c", "condition": "composite", "conditions": ["m", "n"], "group_by": ["service"], "combine": "any"}
)


class Live:
    """A pipeline that is fed with a constant value of `m` for service `a` every second."""

    def __init__(self, *rules: Rule, partitions: int = 2) -> None:
        self.pipeline = Pipeline(rules, (), Shape(samples=partitions))
        self.at_ms = BEGIN_MS
        self.pipeline.run(self.at_ms)

    def go_on(self, seconds: int, **values: float) -> list[tuple[str, str]]:
        """What the composite has said after some more seconds."""
        for _ in range(seconds):
            self.at_ms += 1_000
            for name, value in values.items():
                sample = Sample(self.at_ms, value, (("service", "a"),), name)
                self.pipeline.publish(message(sample), self.at_ms)
            self.pipeline.run(self.at_ms)
        return [(one.kind, one.reason) for one in self.pipeline.signals if one.rule_id == "c"]


def test_a_composite_hears_of_what_fires_already() -> None:
    live = Live(member("m"), member("n"))
    live.go_on(5, m=1)
    live.pipeline.put_rule(COMPOSITE)
    assert live.go_on(10, m=1) == [("firing", "condition")]
    assert live.go_on(10, m=-1) == [("firing", "condition"), ("ended", "condition")]


def test_a_member_that_is_deleted_disabled_or_changed_no_longer_holds() -> None:
    for change in ("delete", "disable", "change"):
        live = Live(member("m"), member("n"), COMPOSITE)
        assert live.go_on(10, m=1) == [("firing", "condition")]
        if change == "delete":
            live.pipeline.delete_rule("m")
        else:
            live.pipeline.put_rule(member("m", **({"enabled": False} if change == "disable" else {"metric_type": "x"})))
        assert live.go_on(10, m=1) == [("firing", "condition"), ("ended", "condition")], change


def test_a_member_whose_text_changes_goes_on() -> None:
    live = Live(member("m"), member("n"), COMPOSITE)
    live.go_on(10, m=1)
    live.pipeline.put_rule(member("m", description="another", threshold=0.5))
    assert live.go_on(10, m=1) == [("firing", "condition")]
    assert live.go_on(10, m=0.2) == [("firing", "condition"), ("ended", "condition")]


def test_the_last_rule_on_groups_ends_its_alerts_when_it_is_deleted() -> None:
    live = Live(member("m"), COMPOSITE)
    live.go_on(10, m=1)
    live.pipeline.delete_rule("c")
    assert live.go_on(5, m=1) == [("firing", "condition"), ("ended", "rule deleted")]
