"""What a backtest says: the alerts that would have fired, counts by rule, and totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin.engine.peaks import Peak, Peaks
from tocsin.engine.replay import Missed
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import format_duration
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.schemas.kinds import Severity
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

MAX_ALERTS: Final = 100_000


@dataclass(slots=True)
class Step:
    """A severity of an alert, and from when on it was in force."""

    severity: str
    at_ms: int


@dataclass(slots=True)
class Alert:
    """One alert that would have fired. `series` are the labels of what was judged, `labels` those of the alert too;
    `resolved_ms` is None if it went on at the end of history."""

    rule_id: str
    fingerprint: str
    series: dict[str, str]
    labels: dict[str, str]
    unit: str | None
    started_ms: int
    fired_ms: int
    steps: list[Step]
    resolved_ms: int | None = None
    peak: float | None = None

    @property
    def severity(self) -> str:
        """The worst that it reached."""
        return max((step.severity for step in self.steps), key=lambda name: Severity(name).rank)

    def document(self, end_ms: int) -> dict[str, Any]:
        """Plain values, times in RFC 3339; the duration runs from firing to its end, or to the end of history."""
        ended_ms = self.resolved_ms if self.resolved_ms is not None else max(end_ms, self.fired_ms)
        return {
            "rule_id": self.rule_id,
            "labels": self.labels,
            "severity": self.severity,
            "started_at": format_instant(self.started_ms),
            "fired_at": format_instant(self.fired_ms),
            "resolved_at": None if self.resolved_ms is None else format_instant(self.resolved_ms),
            "duration": format_duration(ended_ms - self.fired_ms),
            "peak": self.peak,
            "unit": self.unit,
        }


@dataclass(slots=True)
class Counts:
    """Of one rule: alerts, the series they were on, conditions that ended before they fired, and what was missed."""

    fired: int = 0
    series: set[str] = field(default_factory=set)
    pending_only: int = 0
    missed: Missed = field(default_factory=Missed)


class Report:
    """Made from signals and events as they come. Only the first `MAX_ALERTS` alerts are kept; counts are of all."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.alerts: list[Alert] = []
        self.counts = {rule_id: Counts() for rule_id in rules}
        self.end_ms = 0
        self._open: dict[str, Alert] = {}
        self._pending: dict[str, str] = {}
        self._series: dict[str, dict[str, str]] = {}

    def add(self, signals: Iterable[Signal], events: Iterable[AlertEvent], peaks: Peaks) -> None:
        """Some more of what came of the replay."""
        signals = list(signals)
        for signal in signals:
            self._series.setdefault(signal.fingerprint, signal.labels)
            self._count_pending(signal)
        ended = peaks.settle(signals)
        for event in events:
            self._follow(event, ended)

    def finish(self, missed: Mapping[str, Missed], end_ms: int, peaks: Peaks) -> None:
        """History is over."""
        self.end_ms = end_ms
        for rule_id, found in missed.items():
            self.counts[rule_id].missed = found
        for alert in self._open.values():
            alert.peak = peaks.open(alert.fingerprint).worst(self.rules[alert.rule_id])
        self.alerts.sort(key=lambda alert: (alert.fired_ms, alert.rule_id, alert.fingerprint))

    @property
    def fired(self) -> int:
        """Alerts, those that were not kept too."""
        return sum(counts.fired for counts in self.counts.values())

    def alert_documents(self) -> list[dict[str, Any]]:
        """The alerts in order of firing."""
        return [alert.document(self.end_ms) for alert in self.alerts]

    def rule_documents(self) -> list[dict[str, Any]]:
        """The counts by rule."""
        return [
            {
                "rule_id": rule_id, "fired": counts.fired, "series": len(counts.series),
                "pending_only": counts.pending_only, "late_samples": counts.missed.late,
                "refused_series": counts.missed.refused,
            }
            for rule_id, counts in self.counts.items()
        ]  # fmt: skip

    def _count_pending(self, signal: Signal) -> None:
        if signal.kind == "pending":
            self._pending[signal.fingerprint] = signal.rule_id
        elif self._pending.pop(signal.fingerprint, None) is not None and signal.kind == "ended":
            self.counts[signal.rule_id].pending_only += 1

    def _follow(self, event: AlertEvent, ended: Mapping[tuple[str, int], Peak]) -> None:
        at_ms = parse_instant(event.updated_at)
        if event.type == "firing":
            alert = Alert(
                event.rule_id,
                event.fingerprint,
                self._series[event.fingerprint],
                event.labels,
                None if self.rules[event.rule_id].learns else event.unit,  # its peak is a score, or a distance
                parse_instant(event.starts_at),
                at_ms,
                [Step(event.severity, at_ms)],
            )
            self._open[event.fingerprint] = alert
            self.counts[event.rule_id].fired += 1
            self.counts[event.rule_id].series.add(event.fingerprint)
            if len(self.alerts) < MAX_ALERTS:
                self.alerts.append(alert)
        elif event.type == "changed":
            self._open[event.fingerprint].steps.append(Step(event.severity, at_ms))
        elif event.type == "resolved":
            alert = self._open.pop(event.fingerprint)
            alert.resolved_ms = at_ms
            peak = ended.get((event.fingerprint, at_ms))
            alert.peak = peak.worst(self.rules[event.rule_id]) if peak else None
