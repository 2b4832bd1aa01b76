"""Measure rules that learn, as shipped: python -m tests.bench.rules [--seeds N ...] [--series N] [--set NAME=VALUE ...]

What is counted is the beginning of alerts, on the generated metrics of `fleet`: recall, false alarms a series and week,
median delay; and the alerts of a series in each of its first days and weeks, which are quiet, so all of them are false.
`--set` is of the settings under `anomaly:`, such as memory=2d.
"""

from __future__ import annotations

import argparse

import numpy as np
from tests.bench.fleet import DAY, LEARN_DAYS, Fleet, Floats, fleet
from tests.bench.measure import Outcome, outcome, together

from tocsin.engine.evaluate.derivations.anomaly import Strangeness
from tocsin.engine.evaluate.points import Points
from tocsin.schemas.learning import Anomaly
from tocsin.schemas.signal import Evidence

_DAYS = ((0, 1), (1, 2), (2, 5), (5, 7), (7, LEARN_DAYS))


def begins(made: Fleet, settings: Anomaly) -> Floats:
    """1 where an alert begins: times x series."""
    rule = Strangeness(settings, 0, True)
    rule.columns.add(made.values.shape[1])
    fires = np.zeros_like(made.values)
    for row, (at_s, values) in enumerate(zip(made.at_s, made.values, strict=True)):
        slots = np.flatnonzero(~np.isnan(values))
        if row:
            fires[row] = fires[row - 1]
        if len(slots):
            at_ms = np.full(len(slots), round(at_s * 1_000))
            points = Points.one_each(slots, at_ms, values[slots], lambda _: Evidence("m", (0, 0), 1))
            fires[row, slots] = rule.derive(points).values > 0
    return np.asarray(np.diff(fires, axis=0, prepend=0.0) > 0, np.float64)


def early(made: Fleet, begun: Floats) -> list[float]:
    """Alerts a series in each span of the first, quiet weeks."""
    day = (made.at_s - made.at_s[0]) / DAY
    return [float(begun[(day >= first) & (day < last)].sum() / begun.shape[1]) for first, last in _DAYS]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--series", type=int, default=48, help="of each seed")
    parser.add_argument("--weeks", type=int, default=5)
    parser.add_argument("--interval", type=float, default=300.0)
    parser.add_argument("--size", type=float, default=4.0)
    parser.add_argument("--sensitivity", nargs="+", default=["high", "medium", "low"])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    wanted = dict(one.split("=", 1) for one in args.set)
    fleets = [fleet(seed, args.series, args.weeks, args.interval, args.size) for seed in args.seeds]
    for sensitivity in args.sensitivity:
        settings = Anomaly.model_validate({"sensitivity": sensitivity, **wanted})
        begun = [begins(made, settings) for made in fleets]
        got = together([outcome(made, found, 1.0) for made, found in zip(fleets, begun, strict=True)])
        print(line(sensitivity, got, np.mean([early(*one) for one in zip(fleets, begun, strict=True)], axis=0)))


def line(name: str, got: Outcome, first: Floats) -> str:
    """One row of the table."""
    days = "  ".join(f"{begin}-{end}: {alerts:.2f}" for (begin, end), alerts in zip(_DAYS, first, strict=True))
    facts = f"recall {got.recall():.3f}  false {got.false_a_week:.2f}  delay {got.delay_s() / 60:.0f} min"
    return f"{name:8} {facts}  alerts a series by day {days}"


if __name__ == "__main__":
    main()
