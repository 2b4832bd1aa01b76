"""What inhibits is known in whatever order it comes: alerts of several partitions of evaluate, through several of
lifecycle, each as late as it likes, and marks that say how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.routing.cases import BEGIN_MS, Driver, driver, make_event

from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.route import record as route_record
from tocsin.engine.route.known import Known
from tocsin.engine.route.marks import Marks, Reached
from tocsin.engine.route.tree import Tree
from tocsin.engine.standing import _late
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.codec import encode_document
from tocsin.schemas.mark import Late, Mark, Passed, WorkedOff
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule

JUDGES, LIFECYCLES = 3, 2
LAST_S = 6
ROUTING = {
    "route": {"channels": ["pager"], "group_by": ["..."], "group_wait": "0s"},
    "inhibit_rules": [
        {
            "source": ["alertname=down", "severity=warning"],
            "target": ["alertname=slow"],
            "equal": ["host"],
            "hold": "1h",
        }
    ],
}


class Fired(NamedTuple):
    rule: str
    host: str
    at_s: int
    judge: int
    is_own: bool

    def event(self) -> AlertEvent:
        more: dict[str, Any] = {"notifications": ("pager",), "escalation_policy": "duty"} if self.is_own else {}
        return make_event(self.rule, {"host": self.host, "n": f"{self.judge}/{self.at_s}"}, "firing", self.at_s, **more)


@dataclass
class World:
    """Logs between the stages, and how far each has read. `late_s` is how long a source waits for late samples."""

    alerts: Sequence[Fired]
    late_s: int
    route: Driver = field(default_factory=lambda: driver(ROUTING))
    marks: Marks = field(default_factory=lambda: Marks(JUDGES))
    said: list[tuple[str, Mark]] = field(default_factory=list)
    heard: int = 0

    def __post_init__(self) -> None:
        self.unsaid = [[one for one in self.alerts if one.judge == judge] for judge in range(JUDGES)]
        self.signals: list[list[Fired]] = [[] for _ in range(LIFECYCLES)]
        self.states: list[list[Fired]] = [[] for _ in range(LIFECYCLES)]
        self.routed = [0] * LIFECYCLES

    def due_s(self, one: Fired) -> int:
        return one.at_s + (self.late_s if one.rule == "down" else 0)

    def judge(self, judge: int) -> None:
        if self.unsaid[judge]:
            one = min(self.unsaid[judge], key=self.due_s)
            self.unsaid[judge].remove(one)
            self.signals[(one.host == "a") ^ (one.rule == "down")].append(one)

    def judge_all(self, judge: int) -> None:
        for _ in list(self.unsaid[judge]):
            self.judge(judge)

    def mark(self, judge: int) -> None:
        watermark_s = min(map(self.due_s, self.unsaid[judge]), default=LAST_S + self.late_s + 1) - 1
        ends = tuple(map(len, self.signals))
        other = Late(10**9, "another"), Late(10**9, "down", "critical")
        late = (Late(self.late_s * 1_000, "down", "warning", ""), *other) if self.late_s else ()
        self.said.append((f"evaluate/{judge}", Passed(BEGIN_MS + watermark_s * 1_000, ends, late)))

    def mark_all(self, _: int) -> None:
        for judge in range(JUDGES):
            self.mark(judge)

    def work_off(self, lifecycle: int) -> None:
        self.states[lifecycle][:] = self.signals[lifecycle]

    def mark_work(self, lifecycle: int) -> None:
        self.said.append((f"lifecycle/{lifecycle}", WorkedOff(len(self.states[lifecycle]))))

    def catch_up(self) -> None:
        """As a route worker does before it decides: marks as far as they are read, then all states there are."""
        reached = self.marks.reached
        for one in (one for states in self.states for one in states):
            self.route.muting.inhibitor.put(one.event().fingerprint, routing_labels(one.event()))
        self.route.muting.reached = reached

    def hear(self, _: int) -> None:
        for name, mark in self.said[self.heard :]:
            self.marks.put(name, mark)
        self.heard = len(self.said)

    def take(self, lifecycle: int) -> None:
        while self.routed[lifecycle] < len(self.states[lifecycle]):
            one = self.states[lifecycle][self.routed[lifecycle]]
            self.routed[lifecycle] += 1
            self.catch_up()
            self.route.alert(one.event(), LAST_S)

    def tick(self, _: int) -> None:
        self.catch_up()
        self.route.tick(LAST_S)
        for value in self.route.alerts.values():
            record = route_record.decode(value)
            waits = [record.awaits_ms, record.escalation.awaits_ms if record.escalation else 0]
            assert not [ms for ms in waits if 0 < ms <= self.marks.reached.watermark_ms], "it was looked at for that"

    def settle(self) -> None:
        """Nothing is held up any more."""
        for act in (self.judge_all, self.mark, self.work_off, self.mark_work, self.take, self.hear, self.tick):
            for place in range(JUDGES if act in (self.judge_all, self.mark) else LIFECYCLES):
                act(place)


STEPS = (
    *("judge", "judge", "judge_all", "mark", "mark_all", "mark_all", "work_off", "work_off", "mark_work", "mark_work"),
    *("hear", "hear", "take", "take", "tick", "tick"),
)
fired = st.builds(
    Fired,
    st.sampled_from(["slow", "down"]),
    st.sampled_from(["a", "a", "b"]),
    st.integers(1, LAST_S),
    st.integers(0, JUDGES - 1),
    st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(fired, min_size=2, max_size=8, unique_by=lambda one: (one.rule, one.at_s, one.judge)),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, JUDGES - 1)), min_size=20, max_size=50),
    st.sampled_from([0, 3]),
)
def test_who_is_told_does_not_depend_on_the_order_in_which_alerts_come(
    alerts: list[Fired], steps: list[tuple[str, int]], late_s: int
) -> None:
    at = World(alerts, late_s)
    for name, place in steps:
        getattr(at, name)(place % LIFECYCLES if name in ("work_off", "mark_work", "take") else place)
    at.settle()
    told = {one.event.fingerprint for one in at.route.notifications}
    for one in alerts:
        sources = [other for other in alerts if one.rule == "slow" and (other.rule, other.host) == ("down", one.host)]
        if not sources:
            assert one.event().fingerprint in told, f"nothing keeps {one} quiet"
        if any(source.at_s <= one.at_s for source in sources):
            assert one.event().fingerprint not in told, f"{one} came before what inhibits it"


def test_who_waits_longer_by_what_marks_say_of_late_samples_is_not_looked_at_again_and_again() -> None:
    at = World([Fired("slow", "a", 5, 0, is_own=True), Fired("down", "b", 4, 1, is_own=False)], 3)
    at.judge(0)
    for act in (at.work_off, at.take, at.mark_all, at.mark_work, at.hear, at.tick):
        for place in range(LIFECYCLES):
            act(place)
    assert BEGIN_MS + 5_000 < at.marks.reached.watermark_ms < BEGIN_MS + 8_000
    assert at.route.notifications == []
    at.settle()
    assert len(at.route.notifications) == 2


def test_an_alert_that_no_rule_can_hit_does_not_wait() -> None:
    rules = [{"source": ["alertname=down", "host=a"], "target": ["alertname=slow"], "equal": ["host"], "hold": "1h"}]
    at = driver({**ROUTING, "inhibit_rules": rules})
    for host in ("a", "b"):
        at.alert(make_event("slow", {"host": host}, "firing", 1), 1)
    assert [one.event.labels["host"] for one in at.notifications] == ["b"]


LEVELS = [{"severity": "warning", "threshold": 1}, {"severity": "critical", "threshold": 2}]


@pytest.mark.parametrize(
    ("source", "rule", "waits"),
    [
        ("severity=critical", {"threshold": 1}, False),
        ("severity=critical", {"levels": LEVELS}, True),
        ("severity=critical", {"threshold": 1, "severity": "critical"}, True),
        ("severity=critical", {"threshold": 1, "severity": "critical", "enabled": False}, False),
        ("category=net", {"threshold": 1, "category": "net"}, True),
        ("category=net", {"threshold": 1}, False),
        ("alertname!=group", {"threshold": 1}, False),
        ("host=a", {"threshold": 1}, True),  # it may get this label
    ],
)
def test_only_what_a_rule_over_groups_may_inhibit_waits_for_its_late_samples(
    source: str, rule: dict[str, Any], waits: bool
) -> None:
    group = Rule.model_validate(
        {"id": "group", "metric_type": "m", "group_by": ["zone"], "window": {"size": "10s"}, **rule}
    )
    book = RuleBook()
    assert book.append(0, b"group", encode_document(group), 0) is None
    late = _late(book.plan_after(Plan(), 1, 0))
    at = driver({**ROUTING, "inhibit_rules": [{"source": [source], "target": ["alertname=slow"], "hold": "1h"}]})
    at.muting.reached = Reached(BEGIN_MS + 5_000, late)
    at.alert(make_event("slow", {"host": "a"}, "firing", 5), 5)
    assert (at.notifications == []) == waits
    at.muting.reached = Reached(BEGIN_MS + 10_000, late)
    at.tick(6)
    assert len(at.notifications) == 1


def test_of_very_many_rules_that_wait_the_longest_of_each_severity_counts() -> None:
    book = RuleBook()
    for at in range(150):
        severity = "critical" if at < 3 else "info"
        given = {"metric_type": "m", "threshold": at, "allowed_lateness": f"{at + 1}s", "severity": severity}
        assert book.append(at, b"r%d" % at, encode_document(Rule.model_validate({"id": f"r{at}", **given})), 0) is None
    found = _late(book.plan_after(Plan(), 150, 0))
    assert set(found) == {Late(3_000, severity="critical"), Late(150_000, severity="info")}


def test_marks_wait_for_lifecycle_and_for_each_other() -> None:
    marks = Marks(2)
    marks.put("evaluate/0", Passed(500, (3, 0)))
    marks.put("evaluate/1", Passed(400, (3, 2), (Late(7),)))
    assert (marks.wanted(0), marks.wanted(1), marks.wanted(2)) == (3, 2, 0)
    marks.put("evaluate/1", Passed(900, (9, 9)))
    assert (marks.wanted(0), marks.wanted(1)) == (9, 9)
    marks.put("lifecycle/0", WorkedOff(3))
    assert marks.reached.watermark_ms < 0
    marks.put("lifecycle/1", WorkedOff(2))
    assert (marks.reached.watermark_ms, marks.reached.late) == (400, (Late(7),))
    marks.put("evaluate/1", Passed(100, (0, 0)))  # from an owner that stood still
    marks.put("lifecycle/0", WorkedOff(1))
    assert marks.reached.watermark_ms == 400
    marks.put("evaluate/0", Passed(600, (3, 2), shares=True))
    assert marks.reached.watermark_ms < 0, "combine has not spoken yet"
    for partition in range(2):
        marks.put(f"combine/{partition}", Passed(550, ()))
    assert marks.reached.watermark_ms == 400


def test_lifecycle_is_asked_again_where_one_that_stood_still_set_it_back() -> None:
    marks = Marks(1)
    marks.put("evaluate/0", Passed(500, (3,)))
    marks.put("lifecycle/0", WorkedOff(4))
    assert (marks.stated(0), marks.wanted(0), marks.reached.watermark_ms) == (4, 0, 500)
    marks.put("lifecycle/0", WorkedOff(2))
    assert (marks.stated(0), marks.wanted(0), marks.reached.watermark_ms) == (2, 3, 500)
    marks.put("evaluate/0", Passed(600, (4,)))
    assert marks.reached.watermark_ms == 600, "what was worked off remains so"
    marks.put("lifecycle/0", WorkedOff(4))
    assert marks.wanted(0) == 0


def test_who_waited_longer_for_states_does_not_take_back_what_is_known() -> None:
    known = Known(lambda *_: None)
    for watermark_ms in (500, 400):
        known.up_to(Reached(watermark_ms))
    assert known.muting.reached.watermark_ms == 500


def test_of_very_many_marks_that_wait_the_oldest_make_way() -> None:
    marks = Marks(1)
    for at in range(2_000):
        marks.put("evaluate/0", Passed(at, (at,)))
    marks.put("lifecycle/0", WorkedOff(1_500))
    assert marks.reached.watermark_ms == 1_500


def test_who_waits_for_what_may_inhibit_is_told_once_nothing_may() -> None:
    route = driver(ROUTING)
    route.alert(make_event("slow", {"host": "a"}, "firing", 10), 10)
    route.tick(11)
    assert not route.notifications
    route.muting.put_tree(Tree(Routing.model_validate({"route": ROUTING["route"]})))
    route.tick(12)
    assert len(route.notifications) == 1
