"""A backtest's answer as plain values, for the command line and the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tocsin.backtest.intake import Intake
from tocsin.backtest.report import Report
from tocsin.backtest.run import Traced
from tocsin.schemas.instant import format_instant

_POINTS = 1_000


def document(report: Report, intake: Intake) -> dict[str, Any]:
    """Alerts, counts by rule, dead letters by reason, and totals."""
    store = intake.store
    late = max((counts.missed.late for counts in report.counts.values()), default=0)
    return {
        "alerts": report.alert_documents(),
        "rules": report.rule_documents(),
        "dead_letters": {
            reason: {"count": count, "examples": intake.examples[reason]} for reason, count in intake.rejected.items()
        },
        "totals": {
            "samples": store.samples,
            "series": store.interner.count - len(store.interner.rejects),
            "alerts": report.fired,
            "late_samples": late,
            "dead_letters": sum(intake.rejected.values()),
            "from": format_instant(store.first_ms) if store.samples else None,
            "to": format_instant(store.last_ms) if store.samples else None,
        },
    }


def series_documents(found: Sequence[Traced]) -> list[dict[str, Any]]:
    """What was judged of each series, as pairs of epoch milliseconds and value; and what was `learnt`: time, expected
    value, lower and upper end of the band, and score."""
    documents = []
    for traced in found:
        trace = traced.trace
        if len(trace.at_ms):
            trace = trace.thinned(int(trace.at_ms[0]), int(trace.at_ms[-1]) + 1, _POINTS // 4)
        at_ms = trace.at_ms.astype(np.float64)
        found_here: dict[str, Any] = {
            "rule_id": traced.rule.id,
            "labels": traced.alerts[0].series,
            "points": np.column_stack((at_ms, trace.values)).tolist(),
        }
        if trace.course:
            found_here["learnt"] = np.column_stack((at_ms, *trace.course.columns()[1:])).tolist()
        documents.append(found_here)
    return documents
