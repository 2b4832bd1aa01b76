"""Measure the default of `anomaly` on generated metrics: python -m tests.bench.detection [--seed N] [--series N]

One line each for the detector and for what people use today: recall, false alarms a series and week, delay.
"""

from __future__ import annotations

import argparse
import math

from tests.bench.fleet import KINDS, fleet
from tests.bench.measure import Outcome, outcome, scores
from tests.bench.rivals import fixed, hour_of_week, rolling_deviation

RIVALS = (("mean +- 3 stddev, one day", rolling_deviation, 3.0), ("hour of week, 3 robust", hour_of_week, 3.0),
          ("fixed thresholds", fixed, 1.0))  # fmt: skip


def line(name: str, got: Outcome) -> str:
    """One row of the table."""
    kinds = "  ".join(f"{kind} {got.recall(lambda one, kind=kind: one.kind == kind):.2f}" for kind in KINDS)  # type: ignore[misc]
    turns = f"first {got.recall(lambda one: one.turn == 0):.2f} later {got.recall(lambda one: one.turn > 0):.2f}"
    facts = f"recall {got.recall():.3f}  false {got.false_a_week:5.2f}  delay {got.delay_s() / 60:6.1f} min"
    return f"{name:28} {facts}  {turns}  {kinds}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--series", type=int, default=96)
    parser.add_argument("--weeks", type=int, default=5)
    parser.add_argument("--interval", type=float, default=300.0)
    parser.add_argument("--size", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--days", type=float, nargs="+", default=[7.0, 30.0], help="what comes less often is strange")
    args = parser.parse_args()
    for size in args.size:
        made = fleet(args.seed, args.series, args.weeks, args.interval, size)
        print(f"\n{len(made.incidents)} incidents of {size:g} scales, {args.series} series, every {args.interval:g} s")
        scored = scores(made)
        for days in args.days:
            print(line(f"tocsin, once in {days:g} days", outcome(made, scored, math.log1p(days))))
        for name, rival, limit in RIVALS:
            print(line(name, outcome(made, rival(made), limit)), flush=True)


if __name__ == "__main__":
    main()
