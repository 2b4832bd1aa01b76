"""Score the Numenta Anomaly Benchmark: python -m tests.bench.nab FOLDER RESULTS [--names FILE]

FOLDER holds data/CATEGORY/NAME.csv.gz; RESULTS gets a file of the same name each, with the columns timestamp and
anomaly_score, for whatever computes the benchmark's score. The data is no part of this repository. All files are looked
at in one pass in order of time, with the defaults and nothing from later samples.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tocsin.engine.evaluate.detectors.ensemble import Ensemble


def main() -> None:
    """Write the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--names", type=Path, help="only these, as CATEGORY/NAME.csv, one a line")
    args = parser.parse_args()
    paths = sorted((args.folder / "data").rglob("*.csv.gz"))
    if args.names:
        wanted = set(args.names.read_text().split())
        paths = [path for path in paths if f"{path.parent.name}/{path.name.removesuffix('.gz')}" in wanted]
    samples = [read(path) for path in paths]
    detector = Ensemble()
    detector.columns.add(len(samples))
    length = np.array([len(values) for _, values in samples])
    found = [np.zeros(count) for count in length]
    for row in range(length.max(initial=0)):
        slots = np.flatnonzero(length > row)
        at_s, values = (np.array([samples[slot][part][row] for slot in slots]) for part in (0, 1))
        for slot, score in zip(slots, detector.look(slots, at_s, values).score, strict=True):
            found[slot][row] = score / (1 + score)
    for path, sample, scores in zip(paths, samples, found, strict=True):
        write(args.results / path.parent.name / path.name.removesuffix(".gz"), sample[0], scores)


def read(path: Path) -> tuple[list[float], list[float]]:
    """Times in seconds, and values."""
    with gzip.open(path, "rt", newline="") as stream:
        rows = list(csv.DictReader(stream))
    at = [datetime.fromisoformat(row["timestamp"][:19]).replace(tzinfo=UTC).timestamp() for row in rows]
    return at, [float(row["value"]) for row in rows]


def write(path: Path, at_s: list[float], scores: np.ndarray) -> None:
    """One file of scores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(("timestamp", "anomaly_score"))
        for at, score in zip(at_s, scores.tolist(), strict=True):
            out.writerow((datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"), score))


if __name__ == "__main__":
    main()
