"""The chart of a backtest: the series that fired, what they were held against, and when alerts were firing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from tocsin.backtest.report import Alert, Report
from tocsin.backtest.run import Traced
from tocsin.backtest.store import Store
from tocsin.charts import Band, Chart, Panel, Span, Threshold
from tocsin.schemas.duration import format_duration
from tocsin.schemas.rule import Rule, operator_symbol

_TRUTHS = ("absence", "composite")


def chart_of(found: Sequence[Traced], report: Report, store: Store) -> Chart:
    """A panel for each series that fired."""
    end_ms = max(store.last_ms, report.end_ms)
    series = len({alert.fingerprint for alert in report.alerts})
    counted = f"{report.fired} {'alert' if report.fired == 1 else 'alerts'} on {series} series"
    shown = f"; the {len(found)} that fired for longest" if series > len(found) else ""
    return Chart(
        f"Backtest: {counted}{shown}", store.first_ms, end_ms, tuple(_panel(traced, end_ms) for traced in found)
    )


def condition_text(rule: Rule) -> str:
    """`avg over 1m > 1000 for 5m`."""
    parts: list[str] = [] if rule.condition in ("threshold", "range") else [rule.condition]
    if rule.window:
        length = rule.window.samples or format_duration(rule.window.length_ms)
        parts.append(f"{rule.aggregate} over {length}{' samples' if rule.window.samples else ''}")
    limits = ", ".join(f"{step.threshold:g}" for step in rule.steps if step.threshold is not None)
    if limits:
        parts.append(f"{operator_symbol(rule.operator)} {limits}")
    if rule.condition == "range":
        ends = ", ".join(f"{step.lower:g} to {step.upper:g}" for step in rule.steps)
        parts.append(f"{'inside' if rule.inside else 'outside'} {ends}")
    if rule.duration:
        parts.append(f"for {format_duration(rule.duration)}")
    return " ".join(parts)


def _panel(traced: Traced, end_ms: int) -> Panel:
    rule, alerts = traced.rule, traced.alerts
    labels = ", ".join(f"{name}={value}" for name, value in alerts[0].series.items())
    return Panel(
        title=f"{rule.title}: {rule.metric_type}" + (f" {{{labels}}}" if labels else ""),
        subtitle=f"{condition_text(rule)}, {len(alerts)} {'alert' if len(alerts) == 1 else 'alerts'}",
        at_ms=traced.trace.at_ms,
        values=traced.trace.values,
        thresholds=tuple(Threshold(step.threshold, step.severity) for step in rule.steps if step.threshold is not None),
        bands=tuple(
            Band(step.lower, step.upper, step.severity, rule.inside)
            for step in rule.steps
            if step.lower is not None and step.upper is not None
        ),
        spans=tuple(span for alert in alerts for span in _spans(alert, end_ms)),
        unit=alerts[0].unit or "",
        steps=rule.condition in _TRUTHS,
    )


def _spans(alert: Alert, end_ms: int) -> Iterator[Span]:
    """One for each severity that the alert had."""
    ended_ms = max(end_ms, alert.fired_ms) if alert.resolved_ms is None else alert.resolved_ms
    edges = [*(step.at_ms for step in alert.steps), ended_ms]
    for step, (begin_ms, until_ms) in zip(alert.steps, pairwise(edges), strict=True):
        yield Span(begin_ms, until_ms, step.severity)
