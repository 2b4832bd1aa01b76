"""The words and figures of an alert event: from a signal and its rule, from a command, or from the event before."""

import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tocsin.engine.templates import fitted, render
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.instant import format_instant
from tocsin.schemas.kinds import Change, Level, Trend
from tocsin.schemas.labels import SHADOW
from tocsin.schemas.learning import PEERS, Baseline, Learning
from tocsin.schemas.rule import Rule, operator_symbol
from tocsin.schemas.signal import Evidence, Notice, Signal

_LONG: Final = 1e300  # beyond, shortening may go over the largest number there is


def from_signal(signal: Signal, rule: Rule | None, starts_ms: int) -> dict[str, Any]:
    """Everything about an alert that its rule and the signal say; a rule that is no longer known leaves its id."""
    step = _step(rule, signal) if rule else None
    facts: dict[str, Any] = {
        "rule_id": signal.rule_id.removeprefix(SHADOW),
        "rule_name": rule.title if rule else signal.rule_id.removeprefix(SHADOW),
        "rule_revision": signal.revision,
        "severity": step.severity.value if step else "warning",
        "labels": signal.labels,
        "annotations": {},
        "value": signal.value,
        "unit": _unit(rule, signal) if rule else signal.unit,
        "evidence": _evidence(signal.evidence),
    }
    if signal.notice is not None:
        return facts | {"rule_name": signal.notice.name, "category": "tocsin", **_noticed(signal.notice)}
    if rule is None or step is None:
        return facts
    shown = {"value": signal.value, **_limits(rule, step), **_burning(signal), **_learnt(signal, rule, step)}
    values = _template_values(signal, rule, step, starts_ms, shown) if rule.labels or rule.annotations else {}
    labels, annotations = _fitted(_rendered(rule.labels, values), _rendered(rule.annotations, values))
    facts |= {
        "evidence": facts["evidence"] | _judging(rule, signal.labels),
        "category": rule.category,
        "description": rule.description,
        **shown,
        "labels": {**signal.labels, **labels},
        "annotations": annotations,
        "runbook_url": rule.runbook_url,
        "notifications": rule.notifications,
        "escalation_policy": rule.escalation_policy or "",
    }
    return facts


def _noticed(notice: Notice) -> dict[str, Any]:
    return {"annotations": notice.annotations, "notifications": notice.notifications}


def _step(rule: Rule, signal: Signal) -> Level:
    steps = rule.steps
    return steps[min(signal.level, len(steps) - 1)]


def _judging(rule: Rule, labels: Mapping[str, str]) -> dict[str, Any]:
    """How the value was made of samples: whoever draws them must know what the threshold is for. Of a group's member,
    by which labels it is told from its peers."""
    found: dict[str, Any] = {"condition": rule.condition}
    if rule.window:
        found["aggregation"] = rule.aggregate
    if rule.group_by:
        found["group_by"] = list(rule.group_by)
    if rule.judged_as == PEERS:
        found["member"] = {name: value for name, value in labels.items() if name not in rule.group_by}
    return found


def _limits(rule: Rule, step: Level) -> dict[str, Any]:
    """What the value was held against: a threshold, or a band."""
    if rule.condition == "range":
        return {"threshold": None, "operator": None, "expected": {"lower": step.lower, "upper": step.upper}}
    if rule.condition in ("absence", "composite", "burn_rate"):
        return {"threshold": None, "operator": None}
    return {"threshold": step.threshold, "operator": rule.operator if step.threshold is not None else None}


def _burning(signal: Signal) -> dict[str, Any]:
    """A burn rate's value is how fast it burns, not how many levels it has reached."""
    facts = signal.evidence.facts
    if "burn" not in facts:
        return {}
    return {"value": facts["burn"], "threshold": facts["factor"], "operator": "gte"}


def _learnt(signal: Signal, rule: Rule, step: Level) -> dict[str, Any]:
    """What was expected, beside the value itself: judged was how far they are apart, or where the value is going."""
    facts, settings = signal.evidence.facts, rule.settings
    if isinstance(settings, Trend) and "current" in facts:
        return {"expected": {"value": signal.value, **facts}}
    if not isinstance(settings, Learning):
        return {}
    nothing = {"value": None, "threshold": None, "operator": None}
    if "expected" not in facts:  # it ended for another reason than a value
        return nothing
    names = {"value": "expected", "lower": "lower", "upper": "upper", "score": "score"}
    expected = {name: _shortened(facts[fact]) for name, fact in names.items()}
    if not isinstance(settings, Baseline):
        return nothing | {"value": facts["value"], "expected": expected}
    ends = _ends(settings, abs(step.threshold or 0.0), facts)
    is_below = facts["value"] < facts["expected"] if settings.direction == "both" else settings.direction == "below"
    if rule.threshold == "auto":
        is_below = rule.operator in ("lt", "lte")
    operator = ("lt" if is_below else "gt") + ("e" if rule.operator.endswith("e") else "")
    expected |= {"lower": ends[0], "upper": ends[1]}
    return {"value": facts["value"], "threshold": ends[not is_below], "operator": operator, "expected": expected}


def _ends(settings: Baseline, deviation: float, facts: Mapping[str, float]) -> tuple[float, float]:
    """Where values are that lie so far below and above what is expected, as JSON can say it."""
    expected = facts["expected"]
    unit = {"scales": facts["scale"], "percent": abs(expected) / 100, "absolute": 1.0}[settings.unit]
    largest = sys.float_info.max
    lower, upper = max(expected - deviation * unit, -largest), min(expected + deviation * unit, largest)
    return _shortened(lower), _shortened(upper)


def _shortened(figure: float) -> float:
    """Baselines are kept in single precision: further digits would say nothing."""
    return float(f"{figure:.7g}") if abs(figure) < _LONG else figure


def _unit(rule: Rule, signal: Signal) -> str | None:
    """The unit of what was judged, which is not always the metric's."""
    if isinstance(rule.settings, Change) and rule.settings.unit == "percent":
        return "%"
    if rule.condition in ("absence", "composite", "ratio", "burn_rate") or rule.aggregate == "count":
        return None
    return f"{signal.unit}/s" if signal.unit and rule.aggregate == "rate" else signal.unit


def from_trigger(trigger: Trigger) -> dict[str, Any]:
    """Everything about an alert that was raised by hand."""
    facts = msgspec.structs.asdict(trigger)
    facts["labels"], facts["annotations"] = _fitted(trigger.labels, trigger.annotations)
    return facts


def from_event(event: AlertEvent) -> dict[str, Any]:
    """What stays of an alert when a person acts on it."""
    kept = (*_KEPT, "rule_revision", "unit", "evidence", "expected")
    return {name: getattr(event, name) for name in kept}


def by_hand(command: Command) -> dict[str, Any]:
    """Who did it, and what they said."""
    return {"reason": "manual", "actor": command.actor, "comment": command.comment}


_KEPT = tuple(name for name in Trigger.__struct_fields__ if name != "unit")


def _rendered(templates: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    return {name: render(template, values) for name, template in templates.items()}


def _fitted(labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both, bounded together: an event that no broker takes would stop everything behind it."""
    if not labels and not annotations:
        return {}, {}
    texts = fitted([*labels.values(), *annotations.values()])
    return dict(zip(labels, texts, strict=False)), dict(zip(annotations, texts[len(labels) :], strict=True))


def _template_values(
    signal: Signal, rule: Rule, step: Level, starts_ms: int, shown: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "labels": signal.labels,
        "value": 0.0 if shown["value"] is None else shown["value"],  # what ended without one
        "threshold": shown["threshold"],
        "operator": operator_symbol(shown["operator"] or rule.operator),
        "expected": shown.get("expected") or {},
        "rule_id": rule.id.removeprefix(SHADOW),
        "rule_name": rule.title,
        "severity": step.severity.value,
        "category": rule.category,
        "metric": signal.evidence.metric,
        "unit": _unit(rule, signal) or "",
        "starts_at": format_instant(starts_ms),
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    begin, end = evidence.window
    found: dict[str, Any] = {
        "metric": evidence.metric,
        "window": [format_instant(begin), format_instant(end)],
        "samples": evidence.samples,
    }
    for name in ("facts", "votes"):
        if figures := getattr(evidence, name):
            found[name] = figures
    source = {"topic": evidence.topic, "partition": evidence.partition, "offset": evidence.offset}
    return found | {name: value for name, value in source.items() if value is not None}
