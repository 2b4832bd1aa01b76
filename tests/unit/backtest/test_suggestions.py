"""Which settings are milder than those of a rule, and which of them is suggested."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.backtest.suggestions import Outcome, best, changed, milder
from tocsin.schemas.rule import Rule

CASES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (
        {"condition": "anomaly", "anomaly": {"sensitivity": "low", "votes": 2}},
        [{"anomaly": {"rarer_than": "13w"}}, {"anomaly": {"rarer_than": "52w"}}, {"anomaly": {"votes": 3}}],
    ),
    ({"condition": "anomaly", "anomaly": {"rarer_than": "400d", "votes": 6}}, []),
    (
        {
            "condition": "anomaly",
            "anomaly": {"detector": "peers", "width": 4},
            "group_by": ["cluster"],
            "window": {"size": "5m"},
        },
        [{"anomaly": {"width": width}} for width in (5.0, 6.0, 8.0)],
    ),
    (
        {"condition": "baseline", "threshold": 40, "baseline": {"unit": "percent"}},
        [{"threshold": 50.0}, {"threshold": 60.0}, {"threshold": 80.0}],
    ),
    (
        {"threshold": "auto", "operator": "lt", "baseline": {"width": 3, "memory": "6h"}},
        [{"baseline": {"width": width}} for width in (3.75, 4.5, 6.0)],
    ),
    ({"threshold": "auto", "baseline": {"width": 600}}, [{"baseline": {"width": width}} for width in (750.0, 900.0)]),
    (
        {
            "condition": "baseline",
            "levels": [
                {"severity": "warning", "threshold": 4},
                {"severity": "critical", "threshold": 8, "recovery_threshold": 6, "duration": "5m"},
            ],
        },
        [
            {
                "levels": [
                    {"severity": "warning", "threshold": 4 * factor},
                    {
                        "severity": "critical",
                        "threshold": 8 * factor,
                        "recovery_threshold": 6 * factor,
                        "duration": "5m",
                    },
                ]
            }
            for factor in (1.25, 1.5, 2.0)
        ],
    ),
    ({"threshold": 5}, []),
]


@pytest.mark.parametrize(("body", "wanted"), CASES)
def test_milder_settings_make_a_rule_of_the_same_kind(body: dict[str, Any], wanted: list[dict[str, Any]]) -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", **body})
    assert milder(rule) == wanted
    for change in wanted:
        made = changed(rule, change)
        assert made != rule
        assert made.settings is not None
        assert rule.settings is not None
        assert made.settings.model_dump(include={"memory"}) == rule.settings.model_dump(include={"memory"})


def outcomes(*false: int) -> list[Outcome]:
    return [Outcome({"threshold": place}, 10, count) for place, count in enumerate(false)]


@pytest.mark.parametrize(
    ("false", "wanted"), [((3, 3, 1, 0, 0), 3), ((3, 2, 1, 1), 2), ((2, 2, 2), None), ((0, 0), None), ((4,), None)]
)
def test_the_mildest_change_that_leaves_the_fewest_is_suggested(false: tuple[int, ...], wanted: int | None) -> None:
    found = best(outcomes(*false))
    assert (found.change["threshold"] if found else None) == wanted
