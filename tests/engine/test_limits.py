"""The alert that says that a limit of series was met: one of each rule, however many partitions there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, Sample, examples, message
from tests.engine.test_groups_crash import combined, crashes, evaluated, numbered

from tocsin.engine import frame, partial
from tocsin.engine.combine.limits import LimitAlerts
from tocsin.engine.evaluate.distinct import KEPT, Distinct
from tocsin.engine.evaluate.refusals import ROUND_MS
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.watermark import Timing
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate
from tocsin.schemas.signal import SERIES_LIMIT

PARTITIONS = 3
SHAPE = Shape(sources=2, samples=PARTITIONS, tick_ms=1_000)
BEGIN = BEGIN_MS - BEGIN_MS % ROUND_MS + ROUND_MS  # of a round
CHANNELS = [Channel.model_validate({"id": name, "type": "console"}) for name in ("ops", "shop")]


def rule_of(**more: Any) -> Rule:
    return Rule.model_validate(
        {"id": "r", "metric_type": "m", "threshold": 5, "max_series": 2, "notifications": ["ops"], **more}
    )


def publish(pipeline: Pipeline, at_ms: int, series: Sequence[int]) -> None:
    for one in series:
        pipeline.publish(message(at_ms, Sample(one, 0, 1.0)), at_ms, str(one).encode(), one % SHAPE.sources)


def homes(series: Sequence[int]) -> list[int]:
    """How many of some series each partition of `samples` has."""
    counts = [0] * PARTITIONS
    for one in series:
        identity = series_id(series_key("m", {"series": str(one)}))
        counts[int.from_bytes(identity[:8], "little") % PARTITIONS] += 1
    return counts


def beyond(series: Sequence[int], most: int) -> int:
    return sum(max(count - most, 0) for count in homes(series))


def said(pipeline: Pipeline) -> list[AlertEvent]:
    return [event for event in pipeline.events if event.rule_id == SERIES_LIMIT]


def watched_by(pipeline: Pipeline, most: int) -> set[str]:
    """Series that rules with a limit watch."""
    lanes = [lane for state in pipeline.states for lane in state.lanes.values() if lane.spec.most_series == most]
    return {lane.describe(slot).labels["series"] for lane in lanes for slot in lane.occupied().tolist()}


def keep_sending(pipeline: Pipeline, begin_ms: int, seconds: int, series: Sequence[int], every: int = 20) -> int:
    """Samples of some series for a while; returns when it is over."""
    for second in range(0, seconds, every):
        publish(pipeline, begin_ms + second * 1_000, series)
        pipeline.run(begin_ms + second * 1_000)
    pipeline.run(begin_ms + seconds * 1_000)
    return begin_ms + seconds * 1_000


def test_one_alert_says_that_a_rule_may_watch_no_more_series() -> None:
    pipeline = Pipeline([rule_of()], CHANNELS, SHAPE)
    series = range(20)
    keep_sending(pipeline, BEGIN, 3_600, series)
    (event,) = said(pipeline)
    assert (event.type, event.labels) == ("firing", {"rule_id": "r", "limit": "max_series"})
    assert event.value == beyond(series, 2)
    assert event.category == "tocsin"
    assert event.annotations["summary"].startswith("Rule r watches the 2 series of m in a partition that it may; about")
    assert event.annotations["mend"] == "Narrow its match, or raise its max_series."
    assert [(one.channel_id, one.event.id) for one in pipeline.notifications] == [("ops", event.id)]


def test_it_is_said_at_the_second_look_though_that_comes_a_little_early() -> None:
    alerts, met = LimitAlerts(), (partial.MetLimit("r", "m", 3, 2, BEGIN, ()),)
    assert alerts.take(partial.Limits("0", 1, BEGIN + 40, met)) == []
    assert alerts.take(partial.Limits("1", 1, BEGIN + 990, met)) == []
    (signal,) = alerts.take(partial.Limits("0", 2, BEGIN + 10_010, met))
    assert (signal.kind, signal.value) == ("firing", 4)


def test_it_ends_when_nothing_was_turned_away_for_a_while_and_comes_back_as_another() -> None:
    pipeline = Pipeline([rule_of()], CHANNELS, SHAPE, Timing(forget_ms=600_000))
    at_ms = keep_sending(pipeline, BEGIN, 600, range(20))
    at_ms = keep_sending(pipeline, at_ms, 3_600, range(0))
    at_ms = keep_sending(pipeline, at_ms, 600, range(20))
    first, over, second = said(pipeline)
    assert [first.type, over.type, second.type] == ["firing", "resolved", "firing"]
    assert over.annotations == {"summary": "No more series are turned away."}
    assert len({first.id, over.id, second.id}) == 3
    assert first.fingerprint == second.fingerprint
    assert [one.event.type for one in pipeline.notifications] == ["firing", "resolved", "firing"]


def test_a_rule_with_more_room_or_none_at_all_ends_it() -> None:
    for change in ({"max_series": 50}, {"enabled": False}):
        pipeline = Pipeline([rule_of()], CHANNELS, SHAPE)
        at_ms = keep_sending(pipeline, BEGIN, 120, range(20))
        pipeline.put_rule(rule_of(**change))
        keep_sending(pipeline, at_ms, 60, range(20))
        assert [event.type for event in said(pipeline)] == ["firing", "resolved"]


def test_many_more_are_worth_a_word_once_a_round() -> None:
    pipeline = Pipeline([rule_of()], CHANNELS, SHAPE)
    at_ms = keep_sending(pipeline, BEGIN, 600, range(20))
    keep_sending(pipeline, at_ms, 1_200, range(200), every=60)
    assert [(event.type, event.value) for event in said(pipeline)] == [
        ("firing", beyond(range(20), 2)),
        ("changed", beyond(range(200), 2)),
    ]


def test_each_rule_has_its_own_and_all_together_one() -> None:
    rules = [rule_of(), rule_of(id="other", metric_type="n"), rule_of(id="narrow", notifications=["shop"])]
    rules.append(rule_of(id="off", enabled=False, notifications=["nobody"]))
    pipeline = Pipeline(rules, CHANNELS, SHAPE)
    for state in pipeline.states:
        state.most_series = 1
    keep_sending(pipeline, BEGIN, 60, range(20))
    (event,) = said(pipeline)
    assert event.labels == {"limit": "evaluate.max_series"}
    assert event.value == beyond(range(20), 1)
    assert event.notifications == ("ops", "shop")


def test_nobody_hears_that_there_is_no_room_for_a_candidate_in_shadow() -> None:
    candidate = Candidate.of(rule_of(metric_type="m"), BEGIN - 1, BEGIN + 3_600_000)
    pipeline = Pipeline([rule_of(id="other", metric_type="n"), candidate], CHANNELS, SHAPE)
    for state in pipeline.states:
        state.most_series = 1
    keep_sending(pipeline, BEGIN, 600, range(20))
    assert watched_by(pipeline, 2)
    assert said(pipeline) == []


def test_a_series_that_another_rule_watches_is_counted_and_watched_when_there_is_room() -> None:
    timing = Timing(forget_ms=600_000)
    pipeline = Pipeline([rule_of(), rule_of(id="wide", max_series=1_000)], CHANNELS, SHAPE, timing)
    at_ms = keep_sending(pipeline, BEGIN, 60, range(20))
    assert said(pipeline)[0].value == beyond(range(20), 2)
    assert len(watched_by(pipeline, 1_000)) == 20
    keep_sending(pipeline, at_ms, 3_000, range(10, 20), every=60)
    assert len(watched_by(pipeline, 2)) == sum(min(count, 2) for count in homes(range(10, 20)))


churns = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=6)


def churned(script: Sequence[tuple[int, int, int]]) -> Pipeline:
    """Blocks of series that come a number of seconds after one another."""
    pipeline = Pipeline([rule_of(), rule_of(id="wide", max_series=4)], CHANNELS, Shape(tick_ms=5_000))
    at_ms = BEGIN
    for seconds, first, count in script:
        at_ms += seconds * 1_000
        publish(pipeline, at_ms, range(first, first + count))
        pipeline.run(at_ms)
    pipeline.run(at_ms + 1_000_000)
    return pipeline


@examples(25)
@given(churns, crashes)
def test_a_crash_says_the_same_again(script: list[tuple[int, int, int]], crash: tuple[set[int], int, int]) -> None:
    pipeline, book = churned(script), RuleBook()
    for offset, rule in enumerate([rule_of(), rule_of(id="wide", max_series=4)]):
        book.append(offset, rule.id.encode(), encode_document(rule))
    items = [frame.decode(record.value or b"") for record in pipeline.log.read("samples", 0)]
    told = [partial.decode(record.value or b"") for record in pipeline.log.read("partials", 0)]
    assert numbered(evaluated(book, items, crash)) == numbered(evaluated(book, items))
    assert list(dict.fromkeys(combined(book, told, crash))) == combined(book, told)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_few_are_counted_exactly_however_often_and_in_whatever_order(one: list[int], other: list[int]) -> None:
    found = Distinct([*one, *other, *one])
    assert found.count() == len({*one, *other})
    assert Distinct(found.hashes()).hashes() == Distinct([*other, *one]).hashes()


def test_many_are_estimated() -> None:
    number = 50 * KEPT
    found = Distinct(int.from_bytes(series_id(str(one).encode())[:8], "little") for one in range(number))
    assert abs(found.count() - number) < 0.15 * number
    assert len(found.hashes()) == KEPT
