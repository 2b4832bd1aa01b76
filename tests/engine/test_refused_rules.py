"""A checkpoint with a rule that is none any more: that rule goes and says so, everything else goes on as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, Sample, examples, message, samples, timed

from tocsin.engine import frame, partial
from tocsin.engine.combine import checkpoint as of_combine
from tocsin.engine.combine.state import CombineState
from tocsin.engine.combine.step import step as combine
from tocsin.engine.evaluate import checkpoint as of_evaluate
from tocsin.engine.evaluate.checkpoint import HEADER, DamagedCheckpoint
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import Plan, compile_plan
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.partial import Change
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import Timing
from tocsin.schemas.as_written import rule_as_written
from tocsin.schemas.codec import encode
from tocsin.schemas.signal import Signal

WINDOW: dict[str, Any] = {"metric_type": "m", "window": {"size": "2s"}}
GROUP: dict[str, Any] = {**WINDOW, "group_by": ["zone"], "aggregation": "max"}
LEVELS = [{"severity": "info", "threshold": 0}, {"severity": "error", "threshold": 3}]
# An alert ends where it began, or milder: what ends beyond that was taken once, and stands between two others here.
REFUSED: dict[str, Any] = {"threshold": 0, "recovery_threshold": 5}
OF_SERIES: list[dict[str, Any]] = [
    {"id": "a", **WINDOW, "threshold": 1, "duration": "2s"},
    {"id": "bad", **WINDOW, **REFUSED},
    {"id": "c", **WINDOW, "levels": LEVELS},
    {"id": "other", "metric_type": "m", "threshold": 2, "on_no_data": "ok", "no_data_after": "5s"},
]
OF_GROUPS: list[dict[str, Any]] = [
    {"id": "a", **GROUP, "threshold": 1},
    {"id": "bad", **GROUP, **REFUSED},
    {"id": "c", **GROUP, "levels": LEVELS},
    {"id": "over", "condition": "composite", "conditions": ["a", "not c"], "group_by": ["zone"], "combine": "any"},
    {"id": "over_bad", "condition": "composite", "conditions": ["bad"], "group_by": ["zone"]},
]


def plan_of(documents: Sequence[dict[str, Any]], *but: str) -> Plan:
    read = [rule_as_written(orjson.dumps(document), document["id"]) for document in documents]
    versions = [RuleVersion(rule, place, place) for place, rule in enumerate(read)]
    return compile_plan([version for version in versions if version.rule.id not in but], len(versions))


def book_of(documents: Sequence[dict[str, Any]]) -> RuleBook:
    book = RuleBook()
    for place, document in enumerate(documents):
        ignored = book.append(place, document["id"].encode(), orjson.dumps(document))
        assert bool(ignored) is (document["id"] == "bad" and bool(document.get("recovery_threshold")))
    return book


def played(documents: Sequence[dict[str, Any]], given_samples: Sequence[Sample]) -> Pipeline:
    """A log whose ticks name as many rules as there are, the refused one among them."""
    good = [rule_as_written(orjson.dumps(one), one["id"]) for one in documents if one["id"] != "bad"]
    pipeline = Pipeline([good[0], *good])
    for at_ms, sample in timed(given_samples):
        pipeline.publish(message(at_ms, sample), at_ms, str(sample.series).encode())
        pipeline.run(at_ms)
    pipeline.run(BEGIN_MS + sum(sample.gap_ms for sample in given_samples) + 40_000)
    return pipeline


def split(signals: Sequence[Signal]) -> tuple[list[bytes], list[Signal]]:
    """What others said, to the byte, and what the refused rule did."""
    own = [one for one in signals if one.rule_id == "bad"]
    return [encode(one) for one in signals if not one.rule_id.endswith("bad")], own


def check_end(own: Sequence[Signal], at: int) -> None:
    """Of what fired when it was taken out, at place `at`, the end is said, and then nothing more."""
    fires = {one.fingerprint: one.kind == "firing" for one in own[:at]}
    assert {one.fingerprint for one in own[at:]} == {name for name, is_firing in fires.items() if is_firing}
    assert {(one.kind, one.reason) for one in own[at:]} <= {("ended", "rule refused")}
    assert len(own[at:]) == sum(fires.values())


@examples(10)
@given(samples, st.integers(0, 200))
def test_a_refused_rule_on_series_goes_alone(given_samples: list[Sample], place: int) -> None:
    log = played(OF_SERIES, given_samples).log
    items = [frame.decode(record.value or b"") for record in log.read("samples", 0)]
    book, cut = book_of(OF_SERIES), place % len(items)

    def went_on(state: PartitionState, begin: int, end: int) -> list[Signal]:
        return [one for at in range(begin, end) for one in evaluate(state, [items[at]], at, book, Timing()).signals]

    calm = PartitionState()
    calm.adopt(plan_of(OF_SERIES, "bad"), BEGIN_MS)
    state = PartitionState()
    state.adopt(plan_of(OF_SERIES), BEGIN_MS)
    said = went_on(state, 0, cut)
    before = len(split(said)[1])
    entries, header = of_evaluate.checkpoint(state)
    table = {**entries, HEADER: header}
    restored = of_evaluate.restore(table.get)
    assert list(restored.taken) == ["bad"]
    assert "recovery_threshold" in restored.taken["bad"]
    said += went_on(restored, cut, len(items))
    others, own = split(said)
    assert others == [encode(one) for one in went_on(calm, 0, len(items))]
    check_end(own, before)
    entries, header = of_evaluate.checkpoint(restored)
    again = of_evaluate.restore({**table, **entries, HEADER: header}.get)
    assert not again.taken
    assert again.plan.versions.keys() == {"a", "c", "other"}


@examples(10)
@given(samples, st.integers(0, 200))
def test_a_refused_rule_on_groups_goes_alone(given_samples: list[Sample], place: int) -> None:
    log = played(OF_GROUPS, given_samples).log
    items = [partial.decode(record.value or b"") for record in log.read("partials", 0)]
    book, cut = book_of(OF_GROUPS), place % len(items)

    def went_on(state: CombineState, begin: int, end: int) -> tuple[list[Signal], list[Change]]:
        done = [combine(state, [items[at]], at, book, Timing()) for at in range(begin, end)]
        told = [item for one in done for item in one.partials if isinstance(item, Change)]
        return [signal for one in done for signal in one.signals], told

    calm = CombineState()
    calm.adopt(plan_of(OF_GROUPS, "bad"), BEGIN_MS, 1)
    state = CombineState()
    state.adopt(plan_of(OF_GROUPS), BEGIN_MS, 1)
    said, _ = went_on(state, 0, cut)
    before = len(split(said)[1])
    entries, header = of_combine.checkpoint(state)
    restored = of_combine.restore({**entries, HEADER: header}.get, 0)
    assert list(restored.taken) == ["bad"]
    more, told = went_on(restored, cut, len(items))
    others, own = split([*said, *more])
    assert others == [encode(one) for one in went_on(calm, 0, len(items))[0]]
    check_end(own, before)
    assert {one.fingerprint for one in told if one.rule_id == "bad"} == {one.fingerprint for one in own[before:]}


def test_an_earlier_version_on_the_rules_topic_is_in_force_again() -> None:
    """As for a worker that has no checkpoint."""
    documents = [*OF_SERIES[:1], {**OF_SERIES[1], "recovery_threshold": None}, *OF_SERIES[2:]]
    given_samples = [Sample(0, 1_000, 9.0)] * 4
    items = [frame.decode(r.value or b"") for r in played(documents, given_samples).log.read("samples", 0)]
    book = book_of(documents)
    book.append(len(documents), b"bad", orjson.dumps(OF_SERIES[1]))
    assert "bad" in book.unreadable
    state = PartitionState()
    state.adopt(plan_of(OF_SERIES), BEGIN_MS)
    entries, header = of_evaluate.checkpoint(state)
    restored = of_evaluate.restore({**entries, HEADER: header}.get)
    evaluate(restored, items, len(items) - 1, book, Timing())
    assert (restored.plan.versions["bad"].revision, restored.plan.offset) == (1, 4)


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"id": "bad", "metric_type": "m", "threshold": "x"}, "the rule bad of the plan cannot be read: threshold"),
        ({"id": "bad", "metric_type": "m", "condition": "ratio", "threshold": 1}, "cannot be taken out .bad: "),
    ],
    ids=["of another form", "nowhere to look"],
)
def test_what_was_never_a_rule_makes_a_checkpoint_damaged(document: dict[str, Any], wanted: str) -> None:
    packed = msgspec.msgpack.encode((1, [(orjson.dumps(document), 0, 0)]))
    with pytest.raises(DamagedCheckpoint, match=wanted):
        of_evaluate.unpack_plan(packed)
