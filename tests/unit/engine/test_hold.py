"""An incident is one alert, and the next one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests.bench.fleet import HOUR, START_S, Fleet
from tests.bench.rules import begins

from tocsin.schemas.learning import Anomaly

EACH = 8  # series of a scenario
MINUTE = 60
QUIET_S = 18 * HOUR
Change = tuple[float, float, float]  # from and until which second, by how many deviations


def alerts(interval_s: float, *scenarios: Sequence[Change], learn: bool = True) -> list[list[list[float]]]:
    """When alerts began, in seconds, of each series of each scenario: noise that is changed after quiet hours."""
    end_s = max(until_s for changes in scenarios for _, until_s, _ in changes) + HOUR
    at_s = np.arange(-QUIET_S, end_s, interval_s)
    noise = np.random.default_rng(3).standard_normal((len(at_s), len(scenarios), EACH))
    for number, changes in enumerate(scenarios):
        for begin_s, until_s, height in changes:
            noise[(at_s >= begin_s) & (at_s < until_s), number] += height
    values = 100 + noise.reshape(len(at_s), -1)
    begun = begins(Fleet(START_S + at_s, values, [], [], interval_s), Anomaly(learn_anomalies=learn)) > 0
    begun &= (at_s >= 0)[:, None]
    times = [at_s[column].tolist() for column in begun.T]
    return [times[first : first + EACH] for first in range(0, len(times), EACH)]


def told(of_series: list[list[float]], begin_s: float, until_s: float) -> int:
    """In how many series an alert began within this time."""
    return sum(any(begin_s <= at_s < until_s for at_s in times) for times in of_series)


@pytest.mark.parametrize(("interval_s", "height"), [(60.0, 12.0), (300.0, 12.0), (300.0, 40.0)])
def test_a_spike_is_told_though_one_as_high_came_before(interval_s: float, height: float) -> None:
    long_s, gaps_s = 10 * MINUTE, (HOUR / 2, HOUR, 2 * HOUR, 4 * HOUR)
    pairs = [[(0, long_s, height), (long_s + gap_s, 2 * long_s + gap_s, height)] for gap_s in gaps_s]
    for gap_s, found in zip(gaps_s, alerts(interval_s, *pairs), strict=True):
        assert told(found, 0, long_s) == EACH
        assert told(found, long_s + gap_s, 2 * long_s + gap_s) >= EACH - 1
        assert sum(map(len, found)) <= 2 * EACH + 1


@pytest.mark.parametrize("interval_s", [120.0, 300.0])
def test_what_swings_is_one_incident(interval_s: float) -> None:
    swings = [
        [(turn * apart * interval_s, (turn * apart + 1) * interval_s, 20.0 * (-1) ** turn) for turn in range(4)]
        for apart in (2, 4)
    ]
    for found in alerts(interval_s, *swings):
        assert told(found, 0, interval_s) == EACH
        assert sum(map(len, found)) <= EACH + 1


def test_after_a_long_incident_it_takes_longer_until_a_spike_is_another() -> None:
    long_s, gaps_s = 4 * HOUR, (HOUR, 3 * HOUR)
    pairs = [[(0, long_s, 8.0), (long_s + gap_s, long_s + gap_s + HOUR / 2, 20.0)] for gap_s in gaps_s]
    soon, late = alerts(300.0, *pairs)
    assert told(soon, 0, HOUR) == told(late, 0, HOUR) == EACH
    assert told(soon, long_s, 6 * HOUR) <= 1
    assert told(late, long_s + 3 * HOUR, 8 * HOUR) >= EACH - 1


def test_what_means_remember_of_an_incident_is_no_other() -> None:
    shift, counts = (0, 3 * HOUR, 8.0), np.zeros(2, int)
    for blip_s in (5 * HOUR, 7 * HOUR):
        blip = (blip_s, blip_s + 5 * MINUTE, 3.5)
        counts += [told(found, blip_s, blip_s + HOUR) for found in alerts(300.0, [blip], [shift, blip])]
    alone, after = counts.tolist()
    assert after <= alone


def test_what_comes_back_soon_is_no_other_though_nothing_was_learnt_meanwhile() -> None:
    outage, again = (0, HOUR, 12.0), (HOUR + 20 * MINUTE, HOUR + 25 * MINUTE, 12.0)
    for found in alerts(300.0, [outage, again], learn=False):
        assert told(found, 0, HOUR) == EACH
        assert told(found, HOUR, 2 * HOUR) <= 1
