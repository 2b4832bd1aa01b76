"""Score the Numenta Anomaly Benchmark by the alerts of `tocsin backtest`, called as its users call it:

    python -m tests.bench.nab_backtest FOLDER RESULTS

FOLDER holds data/CATEGORY/NAME.csv.gz; RESULTS gets a file of the same name each, with the columns timestamp and
anomaly_score, for whatever computes the benchmark's score. One rules file holds for all of them: an anomaly rule with
each sensitivity, as shipped. The score is not 0 where an alert fires: 3 for an alert of the rule with low sensitivity,
2 for one with medium, 1 for one with high, over 3. So whoever scores chooses between the three. Where FOLDER has
windows.json, the scores of each are printed, in all and by folder (`nab_score`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
from tests.bench.nab import read, write
from tests.bench.nab_score import report

_RULE = "- {{id: {0}, condition: anomaly, metric_type: m, anomaly: {{sensitivity: {0}}}}}\n"
_SCORES = {"high": 1 / 3, "medium": 2 / 3, "low": 1.0}


def main() -> None:
    """Write the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sensitivity", nargs="+", choices=_SCORES, default=list(_SCORES))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        rules = Path(made) / "rules.yaml"
        rules.write_text("".join(map(_RULE.format, args.sensitivity)))
        for path in sorted((args.folder / "data").rglob("*.csv.gz")):
            at_s, _ = read(path)
            found = scores(rules, path, at_s)
            write(args.results / path.parent.name / path.name.removesuffix(".gz"), at_s, found)
    if (args.folder / "windows.json").exists():
        print(*report(args.folder, args.results, args.sensitivity), sep="\n")


def scores(rules: Path, history: Path, at_s: list[float]) -> np.ndarray:
    """One a row of the file."""
    call = [str(Path(sys.executable).with_name("tocsin")), "backtest", "--rules", str(rules), "--input", str(history)]
    done = subprocess.run([*call, "--metric", "m", "--output", "json"], capture_output=True, check=True, timeout=900)
    body = json.loads(done.stdout)
    assert body["totals"]["alerts"] == len(body["alerts"])
    found = np.zeros(len(at_s))
    for alert in body["alerts"]:
        row = at_s.index(datetime.fromisoformat(alert["fired_at"]).timestamp())
        found[row] = max(found[row], _SCORES[alert["rule_id"]])
    return found


if __name__ == "__main__":
    main()
