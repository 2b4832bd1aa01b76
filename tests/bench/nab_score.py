"""The score of the Numenta Anomaly Benchmark, after its description (Lavin and Ahmad 2015), in all and by folder:

    python -m tests.bench.nab_score FOLDER RESULTS [--names FILE]

FOLDER holds data/CATEGORY/NAME.csv.gz and windows.json, RESULTS what `nab_backtest` wrote. The earliest alarm in a
window is worth a sigmoid that falls from 1 at its left edge to about 0 at its right; a missed window and an alarm
outside of windows cost as the profile says, the latter less soon after a window. The first 15 % of a file, at most 750
rows, are not scored. 0 is never to alarm, 100 perfect; a folder without windows has false alarms only.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_PROFILES = {"standard": (0.11, 1.0), "low FP": (0.22, 1.0), "low FN": (0.11, 2.0)}  # a false alarm, a missed window
LEVELS = {"low": 1.0, "medium": 2 / 3, "high": 1 / 3}


@dataclass(frozen=True, slots=True)
class Labelled:
    """Alarms of one file against its windows: what each found window is worth, how many there are, and what the alarms
    outside of them are worth."""

    found: list[float]
    windows: int
    outside: list[float]


def sigmoid(at: float) -> float:
    """1 at -1, 0 at 0, -1 far to the right."""
    return -1.0 if at > 3 else 2 / (1 + float(np.exp(5 * at))) - 1


def labelled(stamps: list[str], alarms: np.ndarray, windows: list[list[str]]) -> Labelled:
    """Hold the rows that alarm against windows, given by their first and last timestamp."""
    rows = len(stamps)
    begin = int(np.ceil(min(np.floor(0.15 * rows), 750)))
    spans = [(stamps.index(first[:19]), stamps.index(last[:19])) for first, last in windows]
    at = [int(row) for row in np.flatnonzero(alarms) if row >= begin]
    found, outside, whole = [], [], [span for span in spans if span[1] >= begin]
    for left, right in whole:
        inside = [row for row in at if left <= row <= right]
        if inside:
            found.append(sigmoid(-(right - inside[0] + 1) / (right - left + 1)) / sigmoid(-1))
    for row in at:
        if any(left <= row <= right for left, right in spans):
            continue
        before = [span for span in spans if span[1] < row]
        far = (row - before[-1][1]) / max(before[-1][1] - before[-1][0], 1) if before else 9.0
        outside.append(sigmoid(far))
    return Labelled(found, len(whole), outside)


def score(files: list[Labelled], false_cost: float, missed_cost: float) -> float:
    """In percent of the way from never alarming to perfect; NaN without windows."""
    windows = sum(one.windows for one in files)
    gained = sum(sum(one.found) + missed_cost * len(one.found) + false_cost * sum(one.outside) for one in files)
    return 100 * gained / (windows * (1 + missed_cost)) if windows else float("nan")


def report(
    folder: Path, results: Path, sensitivities: Iterable[str], chosen: Container[str] | None = None
) -> list[str]:
    """Lines of figures for sensitivities, in all and by folder."""
    windows = json.loads((folder / "windows.json").read_text())["windows"]
    names = sorted(name for name in windows if (chosen is None or name in chosen) and (results / name).exists())
    lines = []
    for sensitivity in sensitivities:
        found: dict[str, list[Labelled]] = {}
        for name in names:
            with (results / name).open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            alarms = np.array([float(row["anomaly_score"]) >= LEVELS[sensitivity] - 1e-6 for row in rows])
            one = labelled([row["timestamp"] for row in rows], alarms, windows[name])
            for group in ("in all", name.partition("/")[0]):
                found.setdefault(group, []).append(one)
        lines += [line(sensitivity, group, files) for group, files in found.items()]
    return lines


def line(sensitivity: str, group: str, files: list[Labelled]) -> str:
    """One row of the table."""
    scores = " / ".join(f"{score(files, *costs):5.1f}" for costs in _PROFILES.values())
    windows, hits = sum(one.windows for one in files), sum(len(one.found) for one in files)
    false = sum(len(one.outside) for one in files)
    return f"{sensitivity:7} {group:22} {len(files):3} files  {scores}  found {hits} of {windows}, false alarms {false}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--names", type=Path, help="only these, as CATEGORY/NAME.csv, one a line")
    parser.add_argument("--sensitivity", nargs="+", choices=LEVELS, default=["low"])
    args = parser.parse_args()
    chosen = set(args.names.read_text().split()) if args.names else None
    print(*report(args.folder, args.results, args.sensitivity, chosen), sep="\n")


if __name__ == "__main__":
    main()
