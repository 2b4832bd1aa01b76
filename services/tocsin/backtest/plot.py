"""The chart of a backtest: the series that fired, what they were held against, and when alerts were firing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from tocsin.backtest.report import Alert, Report
from tocsin.backtest.run import Traced
from tocsin.backtest.store import Store
from tocsin.charts import Band, Chart, Corridor, Panel, Span, Threshold
from tocsin.engine.evaluate.derivations.baseline import BAND_SCALES
from tocsin.engine.evaluate.points import Course
from tocsin.schemas.duration import format_duration
from tocsin.schemas.learning import PEERS, Anomaly, Baseline
from tocsin.schemas.rule import Rule, operator_symbol

_DAY_MS = 86_400_000
_TRUTHS = ("absence", "composite")


def chart_of(found: Sequence[Traced], report: Report, store: Store) -> Chart:
    """A panel for each series that fired."""
    end_ms = max(store.last_ms, report.end_ms)
    series = len({alert.fingerprint for alert in report.alerts})
    counted = f"{report.fired} {'alert' if report.fired == 1 else 'alerts'} on {series} series"
    shown = f"; the {len(found)} that fired for longest" if series > len(found) else ""
    return Chart(
        f"Backtest: {counted}{shown}",
        store.first_ms,
        end_ms,
        tuple(panel for traced in found for panel in _panels(traced, end_ms)),
    )


def condition_text(rule: Rule) -> str:
    """`avg over 1m > 1000 for 5m`."""
    parts: list[str] = [] if rule.condition in ("threshold", "range") else [rule.condition]
    parts += ["auto"] if rule.threshold == "auto" else []
    if rule.window:
        length = rule.window.samples or format_duration(rule.window.length_ms)
        parts.append(f"{rule.aggregate} over {length}{' samples' if rule.window.samples else ''}")
    parts += ["from its peers"] if rule.judged_as == PEERS else []
    limits = ", ".join(f"{threshold.value:g}" for threshold in _thresholds(rule))
    if limits:
        parts.append(f"{operator_symbol('gte' if rule.burn_rate else rule.operator)} {limits}")
    if rule.condition == "range":
        ends = ", ".join(f"{step.lower:g} to {step.upper:g}" for step in rule.steps)
        parts.append(f"{'inside' if rule.inside else 'outside'} {ends}")
    if rule.duration:
        parts.append(f"for {format_duration(rule.duration)}")
    return " ".join(parts)


def _panels(traced: Traced, end_ms: int) -> Iterator[Panel]:
    """The judged values; under a rule that learns the values with their band, and below them the score."""
    rule, alerts, trace = traced.rule, traced.alerts, traced.trace
    labels = ", ".join(f"{name}={value}" for name, value in alerts[0].series.items())
    panel = Panel(
        title=": ".join(filter(None, (rule.title, rule.metric_type))) + (f" {{{labels}}}" if labels else ""),
        subtitle=f"{condition_text(rule)}, {len(alerts)} {'alert' if len(alerts) == 1 else 'alerts'}",
        at_ms=trace.at_ms,
        values=trace.values,
        spans=tuple(span for alert in alerts for span in _spans(alert, end_ms)),
        unit=alerts[0].unit or "",
    )
    if trace.course is not None:
        yield replace(panel, corridor=_corridor(rule, trace.course))
        yield replace(panel, title="Score", subtitle=_score_text(rule), values=trace.course.score, unit="",
                      thresholds=_needed(rule))  # fmt: skip
        return
    yield replace(panel, steps=rule.condition in _TRUTHS, thresholds=_thresholds(rule), bands=tuple(
        Band(step.lower, step.upper, step.severity, rule.inside)
        for step in rule.steps
        if step.lower is not None and step.upper is not None
    ))  # fmt: skip


def _thresholds(rule: Rule) -> tuple[Threshold, ...]:
    if rule.burn_rate:
        return tuple(Threshold(burn.factor, burn.severity) for burn in rule.burn_rate.windows)
    return tuple(Threshold(step.threshold, step.severity) for step in rule.steps if step.threshold is not None)


def _corridor(rule: Rule, course: Course) -> Corridor:
    """The band of the detector; under a baseline in scales as wide as the mildest threshold."""
    settings, limit = rule.settings, rule.steps[0].threshold
    if not isinstance(settings, Baseline) or settings.unit != "scales" or limit is None:
        return Corridor(course.lower, course.upper)
    half = (course.upper / 2 - course.lower / 2) * (abs(limit) / BAND_SCALES)
    return Corridor(course.expected - half, course.expected + half)


def _needed(rule: Rule) -> tuple[Threshold, ...]:
    """What a score is held against, where it is."""
    settings = rule.settings
    if rule.judged_as == PEERS:
        return _thresholds(rule)
    if isinstance(settings, Anomaly):
        return (Threshold(math.log1p(settings.rare_ms / _DAY_MS), rule.severity),)
    if isinstance(settings, Baseline) and settings.unit == "scales":
        return tuple(Threshold(abs(one.value), one.severity) for one in _thresholds(rule))
    return ()


def _score_text(rule: Rule) -> str:
    if rule.judged_as == PEERS:
        return "distance from where a member of this group ought to be, in scales"
    if isinstance(rule.settings, Anomaly):
        return "ln(1 + days), where such a value comes once in so many days; the highest of each incident"
    return "distance from the expected value, in scales"


def _spans(alert: Alert, end_ms: int) -> Iterator[Span]:
    """One for each severity that the alert had."""
    ended_ms = max(end_ms, alert.fired_ms) if alert.resolved_ms is None else alert.resolved_ms
    edges = [*(step.at_ms for step in alert.steps), ended_ms]
    for step, (begin_ms, until_ms) in zip(alert.steps, pairwise(edges), strict=True):
        yield Span(begin_ms, until_ms, step.severity)
