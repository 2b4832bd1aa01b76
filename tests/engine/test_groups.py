"""Windows over groups and ratios: the model's values, judged as the same values of single series are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.group_cases import IN_ORDER, Way, bounded, events_of, played, said, samples, ways
from tests.engine.group_oracle import Groups, Sample, windows

from tocsin.schemas.labels import parse_series_key
from tocsin.schemas.rule import Rule

AGGREGATIONS = ["avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate", "increase", "delta"]
LONG_QUIET_MS = 90_000  # after which every absence is noticed, however long the usual gaps are
WINDOWS = [{"size": "1s"}, {"size": "5s"}, {"type": "hopping", "size": "4s", "step": "1s"}]


@st.composite
def judgements(draw: st.DrawFn) -> dict[str, Any]:
    """How values are judged, whatever they are of."""
    operator = draw(st.sampled_from(["gt", "gte", "lt", "lte"]))
    sign = 1 if operator in ("gt", "gte") else -1
    threshold = draw(st.integers(-4, 4))
    body: dict[str, Any] = {"operator": operator, "duration": draw(st.sampled_from(["0s", "1s", "4s"]))}
    if draw(st.booleans()):
        gaps = draw(st.tuples(st.integers(1, 3), st.integers(0, 2)))
        body["levels"] = [
            {"severity": "warning", "threshold": threshold, "recovery_threshold": threshold - sign * gaps[1]},
            {"severity": "critical", "threshold": threshold + sign * gaps[0]},
        ]
    else:
        body |= {"threshold": threshold, "recovery_threshold": threshold - sign * draw(st.integers(0, 3))}
    body["cooldown"] = draw(st.sampled_from(["0s", "0s", "5s"]))
    body["keep_firing_for"] = draw(st.sampled_from(["0s", "0s", "3s"]))
    kind = draw(st.sampled_from(["threshold", "threshold", "change", "trend"]))
    if kind == "change":
        body |= {"condition": "change", "change": {"against": "4s", "unit": "absolute"}}
    elif kind == "trend":
        body |= {"condition": "trend", "trend": {"horizon": "5s", "lookback": "8s"}}
    return body


def grouped(judgement: dict[str, Any], **more: Any) -> Rule:
    return Rule.model_validate({"id": "r", "metric_type": "m", "group_by": ["service"], **judgement, **more})


def as_series(rule: Rule, judgement: dict[str, Any], values: Groups) -> Any:
    """What a rule on single series says of the same values, each just before the end of a window as far apart."""
    assert rule.window is not None
    hop = {"size": rule.window.hop_ms / 1_000}
    twin = Rule.model_validate({"id": "r", "metric_type": "v", **judgement, "window": hop, "aggregation": "last"})
    found = [
        Sample(one.end_ms - 1, one.value, tuple(parse_series_key(key)[1].items()), "v")
        for key, of_group in values.items()
        for one in of_group
        if one.value is not None and (one.is_whole or not rule.require_full_window)
    ]
    return said(played([twin], sorted(found, key=lambda sample: sample.at_ms)).signals, "r")


@bounded
@given(judgements(), st.sampled_from(WINDOWS), st.sampled_from(AGGREGATIONS), st.booleans(), samples(), ways)
def test_groups_are_judged_as_series_of_the_models_values(
    judgement: dict[str, Any],
    window: dict[str, str],
    aggregation: str,
    full: bool,
    given_samples: list[Sample],
    way: Way,
) -> None:
    rule = grouped(judgement, window=window, aggregation=aggregation, require_full_window=full)
    wanted = as_series(rule, judgement, windows(rule, given_samples))
    assert said(played([rule], given_samples, way).signals, "r") == wanted


@bounded
@given(judgements(), st.sampled_from(WINDOWS), st.sampled_from(AGGREGATIONS), samples(("m", "n")), ways)
def test_ratios_are_judged_as_series_of_the_models_values(
    judgement: dict[str, Any], window: dict[str, str], aggregation: str, given_samples: list[Sample], way: Way
) -> None:
    judgement = {name: value for name, value in judgement.items() if name not in ("condition", "change", "trend")}
    rule = grouped(judgement, window=window, aggregation=aggregation, condition="ratio", ratio={"per": "n"})
    wanted = as_series(rule, judgement, windows(rule, given_samples))
    assert said(played([rule], given_samples, way).signals, "r") == wanted


def exact_rules() -> list[Rule]:
    """One of each kind and aggregation, several on the same lanes."""
    bodies = [{"window": WINDOWS[i % 3], "aggregation": name} for i, name in enumerate([*AGGREGATIONS, "p50", "p99"])]
    bodies += [{"window": WINDOWS[2], "condition": "ratio", "ratio": {"per": "n"}, "aggregation": "p90"}]
    rules = [
        Rule.model_validate({"id": f"g{i}", "metric_type": "m", "group_by": ["service"], "threshold": 1.5, **body})
        for i, body in enumerate(bodies)
    ]
    return [*rules, *(burn_rule(f"b{counters}", counters) for counters in (True, False)), *absence_rules()]


def burn_rule(name: str, counters: bool) -> Rule:
    pairs = [("20s", "5s", 1.0, "warning"), ("10s", "2s", 2.0, "critical"), ("30s", "10s", 0.5, "warning")]
    pairs_given = [dict(zip(("long", "short", "factor", "severity"), pair, strict=True)) for pair in pairs]
    burn = {"total": "n", "objective": 75, "counters": counters, "windows": pairs_given}
    body = {"id": name, "metric_type": "m", "condition": "burn_rate", "burn_rate": burn, "group_by": ["service"]}
    return Rule.model_validate(body)


def absence_rules() -> list[Rule]:
    expected = [{"service": "a"}, {"service": "z"}]
    settings: Sequence[dict[str, Any]] = [{"after": "6s"}, {}, {"after": "8s", "expected": expected}]
    bodies = [{"condition": "absence", "absence": one, "group_by": ["service"]} for one in settings]
    return [Rule.model_validate({"id": f"a{i}", "metric_type": "m", **body}) for i, body in enumerate(bodies)]


@bounded
@given(samples(("m", "m", "n"), 60), ways)
def test_order_partitions_and_cuts_do_not_show(given_samples: list[Sample], way: Way) -> None:
    rules = [rule for rule in exact_rules() if not rule.id.startswith("a")]
    assert events_of(played(rules, given_samples, way)) == events_of(played(rules, given_samples, IN_ORDER))


@bounded
@given(samples(("m", "m", "n"), 60), ways)
def test_order_partitions_and_cuts_do_not_show_in_the_absence_of_groups(given_samples: list[Sample], way: Way) -> None:
    rules = [*absence_rules(), grouped({"threshold": 1}, window=WINDOWS[0], on_no_data="alert", no_data_after="4s")]
    found = [events_of(played(rules, given_samples, one, LONG_QUIET_MS)) for one in (way, IN_ORDER)]
    assert found[0] == found[1]
