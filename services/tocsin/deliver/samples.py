"""An alert to show what a channel would say: as a rule would raise it, its templates rendered. Pure."""

from __future__ import annotations

from typing import Final

from tocsin.engine.lifecycle.compose import from_signal
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint, stable_id
from tocsin.schemas.learning import PEERS
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

SAMPLE_RULE: Final = Rule.model_validate(
    {
        "id": "high_response_time",
        "name": "High Response Time Alert",
        "description": "Alert when response time exceeds threshold",
        "metric_type": "response_time",
        "threshold": 1_000,
        "duration": "5m",
        "category": "performance",
    }
)
_LABELS: Final = {"service": "api", "host": "a1"}
_LASTED_MS: Final = 240_000


def sample_event(rule: Rule, now_ms: int, *, resolved: bool = False) -> AlertEvent:
    """The alert of a rule that has just fired, or is just over, for labels that its matchers and groups allow."""
    labels = {**(_LABELS if rule.judged_as == PEERS or not rule.group_by else {}), **dict.fromkeys(rule.group_by, "a")}
    labels |= {matcher.name: matcher.value for matcher in rule.match if matcher.op == "="}
    fired_ms = now_ms - (_LASTED_MS if resolved else 0)
    since_ms = fired_ms - rule.duration
    signal = Signal(
        fingerprint=alert_fingerprint(rule.id, labels),
        kind="firing",
        rule_id=rule.id,
        revision=0,
        order=(0, 0, 0),
        since_ms=max(since_ms, 0),
        at_ms=fired_ms,
        labels=labels,
        value=_value(rule),
        evidence=Evidence(rule.metric_type or rule.condition, (max(since_ms, 0), fired_ms), 30),
    )
    return AlertEvent(
        id=stable_id("sample", rule.id, now_ms),
        type="resolved" if resolved else "firing",
        fingerprint=signal.fingerprint,
        sequence=1,
        status="resolved" if resolved else "firing",
        starts_at=format_instant(signal.since_ms),
        fired_at=format_instant(fired_ms),
        ends_at=format_instant(now_ms) if resolved else None,
        updated_at=format_instant(now_ms),
        **from_signal(signal, rule, signal.since_ms),
    )


def _value(rule: Rule) -> float:
    """Some value that the rule would fire for, where a threshold says so."""
    step = rule.steps[0]
    if step.threshold is None:
        return (step.upper if step.upper is not None else 1.0) * 1.2
    beyond = {"lt": -1, "lte": -1, "eq": 0}.get(rule.operator, 1) * (abs(step.threshold) * 0.2 or 1.0)
    return step.threshold + beyond
