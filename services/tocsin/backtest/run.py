"""A backtest from the stored history to the report, and what was judged of the series that fired, for plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.backtest.report import Alert, Report
from tocsin.backtest.store import Store
from tocsin.backtest.traces import Trace, Traces
from tocsin.engine.evaluate.condition import Flags
from tocsin.engine.peaks import Peaks
from tocsin.engine.replay import Replay, looks_at_others
from tocsin.schemas.labels import series_key
from tocsin.schemas.rule import Rule

MAX_TRACES: Final = 12
Checkpoint = Callable[[int], None]
"""Told how many samples were judged so far; what it raises ends the backtest."""


@dataclass(frozen=True, slots=True)
class Traced:
    """The judged values of one series under one rule, and the alerts on it."""

    rule: Rule
    alerts: Sequence[Alert]
    trace: Trace


def replay(
    rules: Sequence[Rule], store: Store, as_written: bool = False, checkpoint: Checkpoint = lambda _done: None
) -> Report:
    """Judge the whole history."""
    peaks = Peaks()
    run = Replay(rules, store.interner, as_written, peaks.watch)
    report = Report({rule.id: rule for rule in rules})
    done = 0
    for batch in store.batches():
        run.take(batch)
        report.add(*run.drain(), peaks)
        done += len(batch)
        checkpoint(done)
    run.finish()
    report.add(*run.drain(), peaks)
    report.finish(run.missed(), run.end_ms, peaks)
    return report


def traced(
    report: Report, store: Store, as_written: bool = False, checkpoint: Checkpoint = lambda _done: None
) -> list[Traced]:
    """What was judged of the series that fired, the longest firing first: a second run, over these series alone where
    the rules allow it."""
    chosen = _chosen(report)
    if not chosen:
        return []
    traces = Traces({(alerts[0].rule_id, _shape(alerts[0].series)) for alerts in chosen}, store.first_ms, store.last_ms)
    wanted = list({alerts[0].rule_id: report.rules[alerts[0].rule_id] for alerts in chosen}.values())
    if any(rule.conditions for rule in wanted):
        wanted = list(report.rules.values())  # a composite says nothing without the rules that it is over
    only = None if as_written or any(map(looks_at_others, wanted)) else _numbers(_keys(report, chosen), store)
    _follow(Replay(wanted, store.interner, as_written, traces.watch), store, only, checkpoint)
    return [
        Traced(report.rules[alerts[0].rule_id], alerts, traces.found(alerts[0].rule_id, _shape(alerts[0].series)))
        for alerts in chosen
    ]


def _chosen(report: Report) -> list[list[Alert]]:
    """Alerts by fingerprint, those that fired for longest first."""
    found: dict[str, list[Alert]] = {}
    for alert in report.alerts:
        found.setdefault(alert.fingerprint, []).append(alert)

    def firing_ms(alerts: list[Alert]) -> int:
        return sum((report.end_ms if one.resolved_ms is None else one.resolved_ms) - one.fired_ms for one in alerts)

    return sorted(found.values(), key=lambda alerts: (-firing_ms(alerts), alerts[0].fired_ms))[:MAX_TRACES]


def learnt(rule: Rule, labels: dict[str, str], store: Store, checkpoint: Checkpoint = lambda _done: None) -> Trace:
    """What a rule that learns makes of one series, beside its peers if it has any; nothing where history has none."""
    traces = Traces({(rule.id, _shape(labels))}, store.first_ms, store.last_ms)
    only = None if looks_at_others(rule) else _numbers({series_key(rule.metric_type, labels)}, store)
    _follow(Replay([rule], store.interner, watch=traces.watch), store, only, checkpoint)
    return traces.found(rule.id, _shape(labels))


def _follow(run: Replay, store: Store, only: Flags | None, checkpoint: Checkpoint) -> None:
    """Go through history, or what it has of some series."""
    done = 0
    for batch in store.batches():
        run.take(batch if only is None else batch.take(np.flatnonzero(only[batch.number])))
        run.drain()
        done += len(batch)
        checkpoint(done)
    run.finish()


def _keys(report: Report, chosen: Sequence[Sequence[Alert]]) -> set[bytes]:
    return {series_key(report.rules[alerts[0].rule_id].metric_type, alerts[0].series) for alerts in chosen}


def _numbers(keys: set[bytes], store: Store) -> Flags:
    spelt = map(store.interner.key, range(store.interner.count))
    return np.array([key.split(b"\xfe")[0] in keys for key in spelt], bool)


def _shape(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
