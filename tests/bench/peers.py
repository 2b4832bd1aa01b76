"""Measure `detector: peers`, as shipped: python -m tests.bench.peers [--seeds N ...] [--set NAME=VALUE ...]

Groups of 5 to 40 members of six kinds that move together: a daily wave, and now and then a leap of all of them. In some
kinds members are alike, in others a member has a load, a level or a noise of its own. The first days are quiet; then
members have incidents, sized in standard deviations of the noise of the group. What is counted is the beginning of
alerts of a rule: recall, false alarms a member and week, median delay of those that begin at once; and alerts of the
first, quiet days. With `--cost` what a value costs instead. `none` is mean and standard deviation of the others.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
from tests.bench.fleet import DAY, HOUR, START_S, WEEK, Floats

from tocsin.engine.evaluate.derivations.peers import Outlying
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Ints
from tocsin.schemas.learning import Anomaly
from tocsin.schemas.signal import Evidence

KINDS = ("alike", "loads", "levels", "noises", "heavy", "counts")
INCIDENTS = ("shift", "spike", "leak", "stuck")
QUIET_S = 3 * DAY
_GRACE_S = 6 * HOUR
_RECOVERY = 0.75
_COUNTED = 20
_COST_STEPS = 300


@dataclass(frozen=True)
class Incident:
    member: int
    kind: str
    begin_s: float
    end_s: float


@dataclass(frozen=True)
class Group:
    """Values of one group, times x members, NaN where a member is silent."""

    kind: str
    at_s: Floats
    values: Floats
    incidents: list[Incident]


def group(seed: int, number: int, weeks: float, interval_s: float, size: float) -> Group:
    """A group; equal arguments give equal values."""
    rng = np.random.default_rng([seed, number, round(interval_s * 1_000)])
    kind, members = KINDS[number % len(KINDS)], int(rng.choice([5, 8, 12, 20, 40]))
    at_s = np.arange(0.0, weeks * WEEK, interval_s)
    base = 10 ** rng.uniform(0, 4)
    noise = base * rng.uniform(0.02, 0.08)
    common = base * (1 + rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * (at_s / DAY - rng.uniform(0, 1))))
    for leap in rng.uniform(0, at_s[-1], 4):
        common[(at_s >= leap) & (at_s < leap + rng.uniform(1, 12) * HOUR)] *= rng.uniform(0.6, 1.6)
    if kind == "counts":  # the noise is that of the counts
        noise = base / np.sqrt(_COUNTED)
    fresh = rng.standard_normal((len(at_s), members))
    if kind == "heavy":
        fresh = rng.standard_t(4, fresh.shape) / np.sqrt(2)
    own = _persistent(fresh, rng.uniform(0.0, 0.7))
    loads, levels, noises = np.ones(members), np.zeros(members), np.ones(members)
    if kind == "loads":
        loads = np.exp(rng.normal(0, 0.4, members))
    if kind == "levels":
        levels = base * rng.normal(0, 0.3, members)
    if kind == "noises":
        noises = np.exp(rng.normal(0, 0.7, members))
    values = (common[:, None] + (kind != "counts") * noise * noises * own) * loads + levels
    incidents = _incidents(rng, members, weeks)
    for one in incidents:
        up = rng.choice([-1.0, 1.0])
        _strike(one, at_s, values, up * size * noise * noises[one.member] * loads[one.member])
    if kind == "counts":
        values = rng.poisson(np.maximum(values / base * _COUNTED, 0)).astype(np.float64)
    values[rng.random(values.shape) < 1 / 500] = np.nan
    return Group(kind, at_s, values, incidents)


def _strike(one: Incident, at_s: Floats, values: Floats, by: float) -> None:
    """Put an incident into a group, in place."""
    inside = (at_s >= one.begin_s) & (at_s < one.end_s)
    if one.kind == "leak":
        values[inside, one.member] += 1.5 * by * np.linspace(0, 1, inside.sum())
    elif one.kind == "stuck":
        values[inside, one.member] = values[inside, one.member][:1] + by
    else:
        values[inside, one.member] += by


def _persistent(fresh: Floats, kept: float) -> Floats:
    out, gain = np.empty_like(fresh), np.sqrt(1 - kept * kept)
    out[0] = fresh[0]
    for row in range(1, len(fresh)):
        out[row] = kept * out[row - 1] + gain * fresh[row]
    return out


def _incidents(rng: np.random.Generator, members: int, weeks: float) -> list[Incident]:
    """One at a time in a group, on any member."""
    found: list[Incident] = []
    at_s = QUIET_S + rng.uniform(0, DAY)
    while True:
        kind = INCIDENTS[rng.integers(len(INCIDENTS))]
        length = rng.uniform(0.25, 0.5) * HOUR if kind == "spike" else rng.uniform(2, 10) * HOUR
        if at_s + length + _GRACE_S > weeks * WEEK:
            return found
        found.append(Incident(int(rng.integers(members)), kind, at_s, at_s + length))
        at_s += length + _GRACE_S + rng.exponential(8 * HOUR)


def by_rule(made: Group, settings: Anomaly, interval_s: float) -> Floats:
    """1 where an alert of the rule begins: times x members."""
    rule = Outlying(settings, round(interval_s * 1_000), True)
    rule.columns.add(made.values.shape[1])
    far = np.zeros_like(made.values)
    for row, values in enumerate(made.values):
        slots = np.flatnonzero(~np.isnan(values))
        at_ms = np.full(len(slots), round((START_S + made.at_s[row]) * 1_000))
        found = rule.derive(points_of(slots, at_ms, values[slots], np.zeros_like(slots)))
        far[row, found.slots] = found.values
    return _begins(far, settings.width)


def by_mean(made: Group, width: float) -> Floats:
    """The same by mean and standard deviation of the other members."""
    total, square = np.nansum(made.values, axis=1), np.nansum(made.values**2, axis=1)
    known = ~np.isnan(made.values)
    others = known.sum(axis=1)[:, None] - known
    values = np.nan_to_num(made.values)
    mean = (total[:, None] - values) / others
    spread = np.sqrt(np.maximum((square[:, None] - values**2) / others - mean**2, 0))
    far = np.where(known, np.abs(values - mean) / np.maximum(spread, 1e-9), 0.0)
    return _begins(far, width)


def points_of(slots: Ints, at_ms: Ints, values: Floats, groups: Ints) -> Points:
    """One value of each slot."""
    return replace(Points.one_each(slots, at_ms, values, lambda _: Evidence("m", (0, 0), 1)), groups=groups)


def _begins(far: Floats, width: float) -> Floats:
    """Where an alert with hysteresis begins."""
    fires, before = np.zeros(far.shape, bool), np.zeros(far.shape[1], bool)
    for row, size in enumerate(far):
        before = fires[row] = size > np.where(before, _RECOVERY * width, width)
    return np.asarray(np.diff(fires.astype(np.float64), axis=0, prepend=0.0) > 0, np.float64)


@dataclass
class Tally:
    """What was found, and what was said for nothing."""

    found: int = 0
    incidents: int = 0
    false: int = 0
    early: int = 0
    member_weeks: float = 0.0
    members: int = 0
    delays_s: list[float] | None = None

    def add(self, made: Group, begun: Floats) -> None:
        delays = self.delays_s = self.delays_s or []
        excused = made.at_s[:, None] * np.ones(begun.shape[1]) < QUIET_S
        self.early += int((begun.astype(bool) & excused).sum())
        for one in made.incidents:
            inside = (made.at_s >= one.begin_s) & (made.at_s < one.end_s)
            at = np.flatnonzero(begun[inside, one.member])
            self.found, self.incidents = self.found + bool(len(at)), self.incidents + 1
            if len(at) and one.kind in ("shift", "spike"):
                delays.append(float(at[0]) * (made.at_s[1] - made.at_s[0]))
            excused[(made.at_s >= one.begin_s) & (made.at_s < one.end_s + _GRACE_S), one.member] = True
        self.false += int((begun.astype(bool) & ~excused).sum())
        self.members += begun.shape[1]
        self.member_weeks += float((~excused).sum() * (made.at_s[1] - made.at_s[0]) / WEEK)

    def __str__(self) -> str:
        recall, delay = self.found / max(self.incidents, 1), np.median(self.delays_s or [0]) / 60
        facts = f"recall {recall:.2f} of {self.incidents}  false {self.false / max(self.member_weeks, 1e-9):.3f}"
        return f"{facts} a member and week  delay {delay:.0f} min  first days {self.early / max(self.members, 1):.3f}"


def cost_us(members: int, size: int, settings: Anomaly) -> float:
    """Microseconds of CPU a value, in groups of one size."""
    rng, every = np.random.default_rng(1), np.arange(members)
    rule = Outlying(settings, 60_000, True)
    rule.columns.add(members)
    rows, begun = 100 + rng.standard_normal((_COST_STEPS, members)), 0.0
    for step, values in enumerate(rows):
        if step == _COST_STEPS // 2:
            begun = time.process_time()
        at_ms = np.full(members, 10**12 + step * 60_000)
        rule.derive(points_of(every, at_ms, values, every // size))
    return (time.process_time() - begun) / (_COST_STEPS - _COST_STEPS // 2) / members * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--groups", type=int, default=24, help="of each seed")
    parser.add_argument("--weeks", type=float, default=2.0)
    parser.add_argument("--interval", type=float, default=300.0)
    parser.add_argument("--size", type=float, nargs="+", default=[6.0, 10.0])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--kinds", action="store_true", help="each kind of group by itself, too")
    parser.add_argument("--cost", action="store_true")
    args = parser.parse_args()
    settings = Anomaly.model_validate({"detector": "peers", **dict(one.split("=", 1) for one in args.set)})
    if args.cost:
        kept = sum(array[:1].nbytes for array in Outlying(settings, 1, True).columns.arrays.values())
        for members in (256, 4_096, 32_768):
            costs = "  ".join(f"{cost_us(members, size, settings):.2f} us in groups of {size}" for size in (8, 32))
            print(f"{members:6} members  {costs}  {kept} bytes a member", flush=True)
        return
    for size in args.size:
        tallies = {("peers", "all"): Tally(), ("none", "all"): Tally()}
        for seed in args.seeds:
            for number in range(args.groups):
                made = group(seed, number, args.weeks, args.interval, size)
                for name, begun in (("peers", by_rule(made, settings, args.interval)), ("none", by_mean(made, 4.0))):
                    for kind in ("all", made.kind):
                        tallies.setdefault((name, kind), Tally()).add(made, begun)
        for (name, kind), tally in tallies.items():
            if kind == "all" or args.kinds:
                print(f"{size:4g} {name:6} {kind:8} {tally}", flush=True)


if __name__ == "__main__":
    main()
