"""Measure detectors on generated metrics:

    python -m tests.bench.detection [--seeds N ...] [--series N] [--interval S] [--each]

A table for each size of incidents: the default of `anomaly` at the return periods of its sensitivities, the cheap
profile, and what people use today: recall, false alarms a series and week, median delay of spikes, shifts and deploys,
recall of the first incident of a series and of later ones, and of each kind; with `--each` only the detectors that an
anomaly rule may ask for instead, at once in 10 days. Seeds from 101 on were never used to
choose anything.
"""

from __future__ import annotations

import argparse
import math

from tests.bench.fleet import KINDS, Fleet, fleet
from tests.bench.measure import Outcome, outcome, scores, together
from tests.bench.rivals import fixed, hour_of_week, rolling_deviation

from tocsin.engine.evaluate.detectors import DETECTORS
from tocsin.engine.evaluate.detectors.ensemble import Ensemble
from tocsin.engine.evaluate.detectors.seasonal import Seasonal

SENSITIVITIES = {"high": 3.0, "medium": 10.0, "low": 90.0}  # days
CHEAP = {"cheap profile, 3 scales": 1.0, "cheap profile, 4 scales": 4 / 3, "cheap profile, 5 scales": 5 / 3}
RIVALS = (("mean +- 3 stddev, one day", rolling_deviation, 3.0), ("hour of week, 3 robust", hour_of_week, 3.0),
          ("fixed thresholds", fixed, 1.0))  # fmt: skip


def line(name: str, got: Outcome) -> str:
    """One row of the table."""
    kinds = "  ".join(f"{kind} {got.recall(lambda one, kind=kind: one.kind == kind):.2f}" for kind in KINDS)  # type: ignore[misc]
    turns = f"first {got.recall(lambda one: one.turn == 0):.2f} later {got.recall(lambda one: one.turn > 0):.2f}"
    facts = f"recall {got.recall():.3f}  false {got.false_a_week:5.2f}  delay {got.delay_s() / 60:6.1f} min"
    return f"{name:28} {facts}  {turns}  {kinds}"


def usual(made: Fleet) -> dict[str, Outcome]:
    """The outcomes of one table."""
    scored, cheap = scores(made, Ensemble()), scores(made, Seasonal())
    found = {f"{name}: once in {days:g} days": (scored, math.log1p(days)) for name, days in SENSITIVITIES.items()}
    found |= {name: (cheap, limit) for name, limit in CHEAP.items()}
    found |= {name: (rival(made), limit) for name, rival, limit in RIVALS}
    return {name: outcome(made, *one) for name, one in found.items()}


def each(made: Fleet) -> dict[str, Outcome]:
    """The outcomes of every detector alone."""
    limit = math.log1p(SENSITIVITIES["medium"])
    return {name: outcome(made, scores(made, detector()), limit) for name, detector in DETECTORS.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--series", type=int, default=48, help="of each seed")
    parser.add_argument("--weeks", type=int, default=5)
    parser.add_argument("--interval", type=float, default=300.0)
    parser.add_argument("--size", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--each", action="store_true", help="the detectors of anomaly rules")
    args = parser.parse_args()
    for size in args.size:
        rows: dict[str, list[Outcome]] = {}
        for seed in args.seeds:
            made = fleet(seed, args.series, args.weeks, args.interval, size)
            for name, found in (each if args.each else usual)(made).items():
                rows.setdefault(name, []).append(found)
        incidents = sum(len(one.found) for one in next(iter(rows.values())))
        print(
            f"\n{incidents} incidents of {size:g} scales, {args.series} series of each seed, every {args.interval:g} s"
        )
        for name, outcomes in rows.items():
            print(line(name, together(outcomes)), flush=True)


if __name__ == "__main__":
    main()
