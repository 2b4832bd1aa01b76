"""What does not go together in a rule: whether it is so, where, and how to mend it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tocsin.schemas.learning import PEERS, Baseline
from tocsin.schemas.problems import Path

if TYPE_CHECKING:
    from tocsin.schemas.rule import Rule


def _groups(rule: "Rule") -> bool:
    return bool(rule.group_by) or rule.condition == "ratio"


def _aggregates(rule: "Rule") -> bool:
    return _groups(rule) or rule.judged_as == PEERS


_WINDOWLESS: Final = ("absence", "burn_rate", "composite")
KIND_CHECKS: Final[tuple[tuple[Callable[["Rule"], bool], Path, str], ...]] = (
    (
        lambda rule: rule.condition == "ratio" and rule.ratio is None,
        ("ratio",),
        "is missing; name the metric to divide by: ratio: {per: requests}",
    ),
    (
        lambda rule: rule.condition == "burn_rate" and rule.burn_rate is None,
        ("burn_rate",),
        "is missing; name a total and an objective: burn_rate: {total: requests, objective: 99.9}",
    ),
    (
        lambda rule: rule.condition == "composite" and not rule.conditions,
        ("conditions",),
        "are missing; name the composite's rules: conditions: [one_rule, not another_rule]",
    ),
    (
        lambda rule: rule.condition != "composite" and bool(rule.conditions),
        ("conditions",),
        "belong to condition composite; remove them or set condition: composite",
    ),
    (
        lambda rule: rule.condition != "composite" and rule.combine != "all",
        ("combine",),
        "belongs to condition composite; remove it or set condition: composite",
    ),
    (
        lambda rule: rule.condition != "range" and rule.inside,
        ("inside",),
        "belongs to condition range; remove it or set condition: range",
    ),
    (
        lambda rule: rule.require_full_window and rule.window is None,
        ("require_full_window",),
        "needs a window; add window: {type: tumbling, size: 1m}",
    ),
    (
        lambda rule: (
            rule.condition == "composite" and isinstance(rule.combine, int) and rule.combine > len(rule.conditions) > 0
        ),
        ("combine",),
        "asks for more than there are conditions; lower it",
    ),
    (
        lambda rule: rule.condition in _WINDOWLESS and rule.window is not None,
        ("window",),
        "does not go with absence, burn_rate or composite; remove it",
    ),
    (
        lambda rule: rule.condition not in _WINDOWLESS and _aggregates(rule) and not rule.window,
        ("window",),
        "is missing: group_by and ratio aggregate over one; add window: {size: 1m}",
    ),
    (
        lambda rule: _groups(rule) and rule.window is not None and rule.window.type not in ("tumbling", "hopping"),
        ("window", "type"),
        "must be tumbling or hopping with group_by and ratio; change it",
    ),
    (
        lambda rule: rule.judged_as == PEERS and not rule.group_by,
        ("group_by",),
        "is missing: detector peers holds members of a group to each other; add group_by: [cluster] or the like",
    ),
    (
        lambda rule: rule.threshold == "auto" and rule.condition != "threshold",
        ("threshold",),
        "can be auto with condition threshold only; give a number",
    ),
    (
        lambda rule: rule.condition in ("baseline", "threshold") and rule.learns and rule.operator in ("eq", "neq"),
        ("operator",),
        "must be gt, gte, lt or lte where a baseline is learnt; change it",
    ),
    (
        lambda rule: rule.condition == "baseline" and rule.operator in ("lt", "lte"),
        ("operator",),
        "must be gt or gte with condition baseline; for values that are too low say baseline: {direction: below}",
    ),
    (
        lambda rule: rule.condition == "anomaly" and rule.operator != "gt",
        ("operator",),
        "does not go with condition anomaly; remove it, or for values that are too low say anomaly: {direction: below}",
    ),
    (
        lambda rule: rule.condition == "baseline" and not rule.levels and _below_zero(rule),
        ("threshold",),
        "is a distance, so not below 0; for values that are too low say baseline: {direction: below}",
    ),
    (
        lambda rule: rule.condition == "baseline" and bool(rule.levels) and _below_zero(rule),
        ("levels",),
        "have thresholds that are distances, so not below 0; for too low values say baseline: {direction: below}",
    ),
    (
        lambda rule: rule.threshold == "auto" and rule.recovery_threshold is not None,
        ("recovery_threshold",),
        "does not go with threshold: auto; remove it",
    ),
    (
        lambda rule: rule.threshold == "auto" and _given(rule).direction != "both",
        ("baseline", "direction"),
        "follows from operator with threshold: auto; remove it",
    ),
    (
        lambda rule: rule.threshold == "auto" and _given(rule).unit != "scales",
        ("baseline", "unit"),
        "must be scales with threshold: auto; remove it",
    ),
    (
        lambda rule: (
            rule.condition == "baseline"
            and _given(rule).unit != "scales"
            and rule.threshold is None
            and not rule.levels
        ),
        ("threshold",),
        "is missing; add it, in percent or in the metric's unit, as baseline.unit says",
    ),
)


def _below_zero(rule: "Rule") -> bool:
    return any(step.threshold is not None and step.threshold < 0 for step in rule.steps)


def _given(rule: "Rule") -> Baseline:
    return rule.baseline or Baseline()
