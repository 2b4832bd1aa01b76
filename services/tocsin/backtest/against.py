"""Two backtests on the same history: which alerts the one would add to those of the other, and which remove."""

from __future__ import annotations

from tocsin.backtest.report import Report
from tocsin.engine.comparison import Comparison, Episode, compare
from tocsin.engine.evaluate.judge import NEVER_MS


def against(new: Report, old: Report) -> Comparison:
    """What differs, as far as both kept their alerts; the old one counts as the rules in force."""
    cut = [report.alerts[-1].fired_ms for report in (new, old) if report.fired > len(report.alerts)]
    return compare(_episodes(old), _episodes(new), -NEVER_MS, min(cut, default=NEVER_MS))


def _episodes(report: Report) -> list[Episode]:
    """The alerts of a report; their value is the worst."""
    return [
        Episode(
            alert.fingerprint,
            alert.rule_id,
            alert.labels,
            alert.severity,
            alert.started_ms,
            alert.fired_ms,
            NEVER_MS if alert.resolved_ms is None else alert.resolved_ms,
            alert.peak,
            alert.unit,
        )
        for alert in report.alerts
    ]
