"""Groups and time: lag is no silence, nothing closes too early, nothing is kept for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.engine.group_cases import BEGIN_MS, message
from tests.engine.group_oracle import Sample

from tocsin.engine import partial
from tocsin.engine.combine.state import CombineState
from tocsin.engine.combine.step import step as combine
from tocsin.engine.combine.windows import WindowGroups
from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.sharing import watermark
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.frame import SourceProgress, Tick
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.partial import Partial, Progress
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.watermark import Timing, TopicProgress
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

SUM = Rule.model_validate(
    {"id": "sum", "metric_type": "m", "group_by": ["service"], "window": {"size": "10s"}, "aggregation": "sum",
     "operator": "lt", "threshold": 20}
)  # fmt: skip
GONE = Rule.model_validate(
    {"id": "gone", "metric_type": "m", "group_by": ["service"], "condition": "absence", "absence": {"after": "15s"}}
)
OTHER = Rule.model_validate(
    {"id": "other", "metric_type": "n", "group_by": ["service"], "window": {"size": "10s"}, "threshold": 1e9,
     "on_no_data": "alert", "no_data_after": "20s"}
)  # fmt: skip
QUIET = [SUM, GONE, OTHER]


def feed(pipeline: Pipeline, seconds: range, metrics: str = "mn", **labels: str) -> None:
    """A value of 1 a second of each of two hosts: 20 in a window."""
    for second in seconds:
        at_ms = BEGIN_MS + second * 1_000
        for host in range(2):
            for name in metrics:
                given = (("host", str(host)), *(labels or {"service": "a"}).items())
                pipeline.publish(message(Sample(at_ms, 1.0, given, name)), at_ms, None, host % 2)


def said(signals: list[Signal]) -> list[tuple[str, str, int]]:
    return [(one.rule_id, one.kind, (one.at_ms - BEGIN_MS) // 1_000) for one in signals]


class Held:
    """Combine, fed with what a pipeline's samples partitions sent, some of it later."""

    def __init__(self, pipeline: Pipeline, rules: list[Rule]) -> None:
        self.items = [partial.decode(record.value or b"") for record in pipeline.log.read("partials", 0)]
        self.book = RuleBook()
        for offset, rule in enumerate(rules):
            self.book.append(offset, rule.id.encode(), encode_document(rule))
        self.state = CombineState(0)

    def hear(self, items: Iterator[Partial]) -> list[Signal]:
        found: list[Signal] = []
        for offset, item in enumerate(items, self.state.offset + 1):
            found += combine(self.state, [item], offset, self.book, Timing()).signals
        return found


def two_partitions(seconds: range) -> Pipeline:
    pipeline = Pipeline(QUIET, (), Shape(sources=2, samples=2))
    pipeline.run(BEGIN_MS)
    feed(pipeline, seconds)
    pipeline.run(BEGIN_MS + seconds.stop * 1_000)
    return pipeline


def test_nothing_is_said_while_a_samples_partition_is_down() -> None:
    held = Held(two_partitions(range(1, 300)), QUIET)
    mine = [item for item in held.items if item.source == "0"]
    others = [item for item in held.items if item.source == "1"]
    early = [item for item in others if isinstance(item, Progress)][:20]
    assert held.hear(iter(early + mine)) == []
    first_window = held.hear(iter(item for item in others if item not in early))
    assert [kind for _, kind, _ in said(first_window) if kind != "firing"] == ["ended"] * (len(first_window) // 2)
    assert {rule for rule, _, at in said(first_window) if at > 10} <= {"sum"}


def test_a_group_is_whole_however_much_a_partition_lags() -> None:
    pipeline = two_partitions(range(1, 200))
    held, lagging = Held(pipeline, QUIET), Held(pipeline, QUIET)
    straight = held.hear(iter(held.items))
    later = [item for item in lagging.items if item.source == "0"]
    assert lagging.hear(iter([*later, *(item for item in lagging.items if item.source == "1")])) == straight


@pytest.mark.parametrize("lag", [0, 5])
def test_an_empty_topic_holds_nothing_up_and_an_unread_one_does(lag: int) -> None:
    state = PartitionState(topics={"empty": TopicProgress(), "full": TopicProgress()})
    for second in range(1, 10):
        clock_ms = BEGIN_MS + second * 1_000
        sources = SourceProgress("empty", 0, 0, UNSEEN_MS, lag), SourceProgress("full", 0, second, clock_ms, 0)
        for name, topic in state.topics.items():
            topic.apply(Tick(clock_ms, 0, sources, {"empty": 1, "full": 1}), name, Timing())
        state.clock_ms = clock_ms
    assert watermark(state, Timing()) == (UNSEEN_MS if lag else state.clock_ms)


def test_a_topic_whose_partitions_are_not_all_known_holds_groups_up() -> None:
    topic = TopicProgress()
    topic.apply(Tick(BEGIN_MS, 0, (SourceProgress("t", 0, 1, BEGIN_MS, 0),), {"t": 2}), "t", Timing())
    assert watermark(PartitionState(topics={"t": topic}, clock_ms=BEGIN_MS), Timing()) == UNSEEN_MS


def test_a_producer_nine_minutes_ahead_closes_nobody_elses_windows() -> None:
    pipeline = Pipeline([SUM], (), Shape(sources=2, samples=2))
    pipeline.run(BEGIN_MS)
    ahead_ms = 9 * 60_000
    for second in range(10, 100):
        feed(pipeline, range(second, second + 1))
        at_ms = BEGIN_MS + second * 1_000
        given = Sample(at_ms + ahead_ms, 30.0, (("service", "ahead"),))
        pipeline.publish(message(given), at_ms, None, 1)
    pipeline.run(BEGIN_MS + 100_000)
    assert said(pipeline.signals) == []
    pipeline.run(BEGIN_MS + 100_000 + 2 * ahead_ms)
    assert {one.labels["service"] for one in pipeline.signals} <= {"ahead"}


def test_silence_of_one_metric_is_not_hidden_by_another_of_the_same_group() -> None:
    pipeline = Pipeline(QUIET, (), Shape(sources=2, samples=3))
    pipeline.run(BEGIN_MS)
    feed(pipeline, range(10, 40))
    feed(pipeline, range(40, 120), "m")
    pipeline.run(BEGIN_MS + 119_000)
    assert said(pipeline.signals) == [("other", "firing", 60)]


def test_composites_of_the_same_labels_make_no_group_silent() -> None:
    members = [Rule.model_validate({"id": name, "metric_type": name, "threshold": 0}) for name in "mn"]
    composite = Rule.model_validate(
        {"id": "both", "condition": "composite", "conditions": ["m", "n"], "group_by": ["service"]}
    )
    pipeline = Pipeline([*QUIET, *members, composite], (), Shape(sources=2, samples=2))
    pipeline.run(BEGIN_MS)
    feed(pipeline, range(10, 300))
    pipeline.run(BEGIN_MS + 299_000)
    assert {one.rule_id for one in pipeline.signals} == {"m", "n", "both"}


def test_a_topic_that_is_taken_away_makes_no_group_silent() -> None:
    held = Held(two_partitions(range(1, 100)), QUIET)
    assert all(rule == "sum" for rule, _, _ in said(held.hear(iter(held.items))))
    last = max(one.clock_ms for one in held.items if isinstance(one, Progress))
    for source in ("0", "1"):
        known = held.state.gatherers[source]
        jump = Progress(source, known.sequence + 1, 2, last + 1_000, 3, known.watermark_ms, 10**9)
        assert held.hear(iter([jump])) == []


def forgetful(rules: list[Rule]) -> Pipeline:
    return Pipeline(rules, (), Shape(sources=2, samples=2), Timing(forget_ms=60_000))


def test_idle_groups_are_forgotten_and_begin_anew() -> None:
    pipeline = forgetful([SUM, GONE, OTHER])
    pipeline.run(BEGIN_MS)
    feed(pipeline, range(10, 30))
    feed(pipeline, range(10, 400), service="b")
    pipeline.run(BEGIN_MS + 400_000)
    for state in pipeline._combining:
        assert all(key is None or b"gone" not in key for key in state.series.keys)
    keys = {key for state in pipeline._states for lane in state.lanes.values() if isinstance(lane, GatherLane)
            for key in lane.groups.keys if key is not None}  # fmt: skip
    assert {key.rsplit(b"\xff", 1)[-1] for key in keys} == {b"b"}


def test_many_groups_leave_nothing_behind() -> None:
    pipeline = forgetful([SUM, Rule.model_validate({**SUM.document(), "id": "p", "aggregation": "p95"})])
    pipeline.run(BEGIN_MS)
    for turn in range(6):
        for second in range(turn * 200 + 10, turn * 200 + 30):
            at_ms = BEGIN_MS + second * 1_000
            for service in range(8):
                given = Sample(at_ms, 99.0, (("service", f"{turn}-{service}"),))
                pipeline.publish(message(given), at_ms, None, service % 2)
        pipeline.run(BEGIN_MS + (turn + 1) * 200_000)
    lanes = [lane for state in pipeline._states for lane in state.lanes.values() if isinstance(lane, GatherLane)]
    assert sum(len(lane.groups.keys) for lane in lanes) <= 3 * 8
    assert sum(state.series.columns.count for state in pipeline._combining) <= 3 * 16
    windows = [lane for state in pipeline._combining for lane in state.lanes.values() if isinstance(lane, WindowGroups)]
    assert not any(part.rows.starts() for lane in windows for part in lane._parts)


def test_samples_far_apart_cost_only_the_windows_that_hold_some() -> None:
    pipeline = Pipeline([SUM], (), Shape())
    pipeline.run(BEGIN_MS)
    pipeline.publish(message(Sample(0, 1.0, (("service", "a"),))), BEGIN_MS)
    feed(pipeline, range(1, 40))
    pipeline.run(BEGIN_MS + 60_000)
    assert [one.at_ms for one in pipeline.signals][:1] == [10_000]
