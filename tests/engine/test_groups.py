"""Windows over groups and ratios: the model's values, judged as the same values of single series are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.group_cases import IN_ORDER, Way, bounded, events_of, played, said, samples, ways
from tests.engine.group_oracle import Groups, Sample, Value, windows
from tests.oracle.peers import Group

from tocsin.schemas.labels import parse_series_key
from tocsin.schemas.learning import Anomaly
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


def each(rule: Rule) -> Rule:
    """The same windows of each series by itself."""
    return Rule.model_validate({**rule.document(), "group_by": ["host", "service"]})


def distances(rule: Rule, given_samples: Sequence[Sample]) -> Groups:
    """Of members of a group the model's distances from their peers, in place of their values."""
    assert rule.window is not None
    assert isinstance(rule.settings, Anomaly)
    group, found = Group(rule.settings, rule.window.hop_ms), defaultdict[bytes, list[Value]](list)
    of_member = windows(each(rule), given_samples)
    for end in sorted({one.end_ms for values in of_member.values() for one in values}):
        at_end = {key: one.value for key, values in of_member.items() for one in values if one.end_ms == end}
        for key, distance in group.window(
            end, {key: value for key, value in at_end.items() if value is not None}
        ).items():
            found[key].append(Value(end, distance, 1, True))
    return dict(found)


@bounded
@given(st.sampled_from([0, 1, 2]), st.sampled_from(AGGREGATIONS), samples(most=80), ways)
def test_members_are_judged_as_series_of_the_models_distances(
    number: int, aggregation: str, given_samples: list[Sample], way: Way
) -> None:
    rule = peer_rules(aggregation=aggregation, duration="2s")[number]
    width = rule.steps[0].threshold
    assert width is not None
    judgement = {"threshold": width, "recovery_threshold": 0.75 * width, "duration": "2s"}
    wanted = as_series(rule, judgement, distances(rule, given_samples))
    found = said(played([rule], given_samples, way).signals, rule.id)
    assert rounded(found) == rounded(wanted)


def rounded(found: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    """With distances to six digits: the model adds up in another order."""
    return {key: [(*one[:3], float(f"{one[3]:.6g}"), *one[4:]) for one in said_of] for key, said_of in found.items()}


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
    burns = [burn_rule(f"b{counters}", counters) for counters in (True, False)]
    return [*rules, *burns, *absence_rules(), *peer_rules()]


def peer_rules(**more: Any) -> list[Rule]:
    """All series are peers: no label tells them apart."""
    peers = {"detector": "peers", "min_members": 4, "width": 1.5, "memory": "1m", "relearn_after": "1m"}
    body = {"metric_type": "m", "condition": "anomaly", "group_by": ["zone"], **more}
    return [
        Rule.model_validate({**body, "id": f"p{i}", "anomaly": {**peers, "own_offset": bool(i)}, "window": WINDOWS[i]})
        for i in (0, 1, 2)
    ]


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
