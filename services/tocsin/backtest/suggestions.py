"""What a rule that learns might ask for instead, where people said that its alerts were false: milder settings, and
what each would have made of history. Nothing is changed by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tocsin.backtest.report import Alert
from tocsin.backtest.run import Checkpoint, replay
from tocsin.backtest.store import Store
from tocsin.schemas.duration import format_duration, milliseconds
from tocsin.schemas.kinds import Level
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.learning import MOST_SCALES, PEERS, Anomaly, Baseline
from tocsin.schemas.rule import Rule

_RARER_MS: Final = tuple(map(milliseconds, ("4w", "13w", "52w")))
_WIDER: Final = (1.25, 1.5, 2.0)
Change = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """Somebody said that the alert was false which began at `started_ms` and was active at, or until, `active_ms`."""

    fingerprint: str
    started_ms: int
    active_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of history under some settings: alerts, and how many of the false ones among them."""

    change: Change
    alerts: int
    false_positives: int

    def document(self) -> dict[str, Any]:
        """Plain values."""
        others = self.alerts - self.false_positives
        return {"alerts": self.alerts, "false_positives": self.false_positives, "other_alerts": others}


def milder(rule: Rule) -> list[Change]:
    """Changes of a rule, as a merge patch, that make it say less, the least first. Levels move together, so that how
    much worse one is than another stays as it was."""
    settings = rule.settings
    if rule.judged_as == PEERS:
        assert isinstance(settings, Anomaly)
        return [{"anomaly": {"width": width}} for width in _wider(settings.width)]
    if isinstance(settings, Anomaly):
        rarer = [{"rarer_than": format_duration(ms)} for ms in _RARER_MS if ms > settings.rare_ms]
        votes = [{"votes": settings.votes + 1}] if settings.votes < settings.most_votes else []
        return [{"anomaly": change} for change in (*rarer, *votes)]
    if not isinstance(settings, Baseline):
        return []
    if rule.levels:
        return [{"levels": [_farther(level, factor) for level in rule.levels]} for factor in _WIDER]
    if isinstance(rule.threshold, float):
        return [{"threshold": _rounded(rule.threshold * factor)} for factor in _WIDER]
    return [{"baseline": {"width": width}} for width in _wider(settings.width)]


def _wider(width: float) -> list[float]:
    return [wider for factor in _WIDER if (wider := _rounded(width * factor)) <= MOST_SCALES]


def _farther(level: Level, factor: float) -> Change:
    limits = {name: getattr(level, name) for name in ("threshold", "recovery_threshold")}
    moved = {name: _rounded(limit * factor) for name, limit in limits.items() if limit is not None}
    return {**level.model_dump(mode="json", exclude_none=True), **moved}


def _rounded(figure: float) -> float:
    return float(f"{figure:.4g}")


def changed(rule: Rule, change: Change) -> Rule:
    """A rule with a change made."""
    body = rule.document()
    merged = {name: {**(body.get(name) or {}), **new} if isinstance(new, dict) else new for name, new in change.items()}
    return Rule.model_validate({**body, **merged})


def outcomes(rule: Rule, marks: Sequence[Mark], store: Store, checkpoint: Checkpoint) -> list[Outcome]:
    """The outcome of the rule as it is, and of each milder one, by one replay."""
    changes: list[Change] = [{}, *milder(rule)]
    rules = [changed(rule, change).model_copy(update={"id": f"s{place}"}) for place, change in enumerate(changes)]
    report = replay(rules, store, checkpoint=checkpoint)
    found: list[Outcome] = []
    for one, change in zip(rules, changes, strict=True):
        alerts = [alert for alert in report.alerts if alert.rule_id == one.id]
        false = sum(any(_is(alert, mark, rule.id) for mark in marks) for alert in alerts)
        found.append(Outcome(change, len(alerts), false))
    return found


def _is(alert: Alert, mark: Mark, rule_id: str) -> bool:
    """Whether an alert of the replay is the one that was marked: of the same series, and at the same time."""
    if alert_fingerprint(rule_id, alert.series) != mark.fingerprint or alert.started_ms > mark.active_ms:
        return False
    return alert.resolved_ms is None or alert.resolved_ms >= mark.started_ms


def best(found: Sequence[Outcome]) -> Outcome | None:
    """The mildest change that leaves the fewest false alerts, if that is fewer than there are now."""
    now, *others = found
    least = min((one.false_positives for one in others), default=now.false_positives)
    return next((one for one in others if one.false_positives == least < now.false_positives), None)
