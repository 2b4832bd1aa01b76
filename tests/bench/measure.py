"""Alarms against known incidents: recall, false alarms a series and week, delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tests.bench.fleet import DAY, HOUR, LEARN_DAYS, WEEK, Fleet, Floats, Incident

from tocsin.engine.evaluate.detector import Detector

_GRACE_S = 12 * HOUR  # after an incident: what alarms on the way back is no false alarm
_ONE_ALARM_S = HOUR  # alarms closer than this are one


@dataclass(frozen=True, slots=True)
class Outcome:
    """What alarms found of the incidents of a fleet."""

    found: list[tuple[Incident, float | None]]  # delay in seconds, none if missed
    false_a_week: float

    def recall(self, choose: Callable[[Incident], bool] = lambda _: True) -> float:
        """The share of the chosen incidents that were found."""
        chosen = [delay is not None for incident, delay in self.found if choose(incident)]
        return float(np.mean(chosen)) if chosen else float("nan")

    def delay_s(self, kinds: tuple[str, ...] = ("spike", "shift", "deploy")) -> float:
        """The median delay of those that were found."""
        delays = [delay for incident, delay in self.found if delay is not None and incident.kind in kinds]
        return float(np.median(delays)) if delays else float("nan")


def together(outcomes: list[Outcome]) -> Outcome:
    """The outcome of equally many series of several fleets."""
    found = [one for outcome in outcomes for one in outcome.found]
    return Outcome(found, float(np.mean([outcome.false_a_week for outcome in outcomes])))


def scores(fleet: Fleet, detector: Detector) -> Floats:
    """Those of a new detector: one step a time, of the series that have a sample."""
    detector.columns.add(fleet.values.shape[1])
    out = np.zeros_like(fleet.values)
    for row, (at_s, values) in enumerate(zip(fleet.at_s, fleet.values, strict=True)):
        slots = np.flatnonzero(~np.isnan(values))
        if len(slots):
            out[row, slots] = detector.look(slots, np.full(len(slots), at_s), values[slots]).score
    return out


def outcome(fleet: Fleet, scored: Floats, threshold: float) -> Outcome:
    """Hold alarms at a threshold against the incidents; the quiet weeks do not count."""
    begin_s = fleet.at_s[0] + LEARN_DAYS * DAY
    found: list[tuple[Incident, float | None]] = []
    false = 0
    for series in range(fleet.values.shape[1]):
        at_s = fleet.at_s[np.flatnonzero(scored[:, series] >= threshold)]
        at_s = at_s[at_s >= begin_s]
        free = np.ones(len(at_s), bool)
        for incident in (one for one in fleet.incidents if one.series == series):
            inside = at_s[(at_s >= incident.begin_s) & (at_s <= incident.end_s + 2 * fleet.interval_s)]
            found.append((incident, float(inside[0] - incident.begin_s) if len(inside) else None))
            free &= (at_s < incident.begin_s) | (at_s > incident.end_s + _GRACE_S)
        alone = at_s[free]
        false += int((np.diff(alone) > _ONE_ALARM_S).sum()) + 1 if len(alone) else 0
    weeks = fleet.values.shape[1] * (fleet.at_s[-1] - begin_s) / WEEK
    return Outcome(found, false / weeks)
