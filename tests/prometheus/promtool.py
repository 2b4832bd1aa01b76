"""What the real Prometheus says of a case: its `promtool test rules` evaluates the rules, and is asked for `ALERTS`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import PIPE, STDOUT

from tests.prometheus.cases import Case, Series

NONE, PENDING, FIRING = ".", "p", "F"
_LETTERS = {"pending": PENDING, "firing": FIRING}
_SAID = re.compile(r"time: (?P<at>\w+),(?P<got>.*?)(?=expr: |\Z)", re.DOTALL)
_ALERT = re.compile(r'alertname="r(?P<case>\d+)", alertstate="(?P<state>\w+)"[^}]*series="(?P<series>\d+)"')
_RUN = re.compile(r"SUCCESS|FAILED:\s+expr: ")
_PARTS = re.compile(r"(\d+)([hms])")
_SECONDS = {"h": 3_600, "m": 60, "s": 1}


def find() -> str | None:
    """The binary that TOCSIN_TEST_PROMTOOL names, else one on the path."""
    return os.environ.get("TOCSIN_TEST_PROMTOOL") or shutil.which("promtool")


def version(promtool: str) -> tuple[int, ...]:
    """Such as (3, 14, 0)."""
    said = subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout + said.stderr)
    assert found, f"no version in {said.stdout!r}"
    return tuple(map(int, found.groups()))


def verdicts(promtool: str, cases: Mapping[int, Case], folder: Path) -> dict[int, list[str]]:
    """Of each case a text for each series with a letter for each instant.

    Every instant's expectation is that there is no alert, so promtool prints what alerts there are instead.
    """
    files = [_write(folder, number, case) for number, case in cases.items()]
    command = [promtool, "test", "rules", *files]
    done = subprocess.run(command, stdout=PIPE, stderr=STDOUT, text=True, check=False, cwd=folder)
    assert len(_RUN.findall(done.stdout)) == len(cases), done.stdout[-2_000:]
    found = {number: [[NONE] * len(case.instants_s) for _ in case.series] for number, case in cases.items()}
    for said in _SAID.finditer(done.stdout):
        at_s = sum(int(count) * _SECONDS[unit] for count, unit in _PARTS.findall(said["at"]))
        for alert in _ALERT.finditer(said["got"]):
            number = int(alert["case"])
            found[number][int(alert["series"])][at_s // cases[number].interval_s] = _LETTERS[alert["state"]]
    return {number: ["".join(letters) for letters in some] for number, some in found.items()}


def _write(folder: Path, number: int, case: Case) -> str:
    """The files of a case; JSON is YAML."""
    alert: dict[str, object] = {"alert": f"r{number}", "expr": case.expr, "for": f"{case.rule.duration // 1_000}s"}
    alert["keep_firing_for"] = f"{case.rule.keep_firing_for // 1_000}s"
    interval = f"{case.interval_s}s"
    rules = {"groups": [{"name": "g", "interval": interval, "rules": [alert]}]}
    (folder / f"rules-{number}.yml").write_text(json.dumps(rules))
    asked = [{"expr": "ALERTS", "eval_time": f"{at_s}s", "exp_samples": []} for at_s in case.instants_s]
    series = [
        {"series": f'm{{series="{index}"}}', "values": " ".join(_notation(some))}
        for index, some in enumerate(case.series)
    ]
    test = {"interval": "1s", "input_series": series, "promql_expr_test": asked}
    suite = {"rule_files": [f"rules-{number}.yml"], "evaluation_interval": interval, "tests": [test]}
    (folder / f"test-{number}.yml").write_text(json.dumps(suite))
    return f"test-{number}.yml"


def _notation(series: Series) -> Iterator[str]:
    """A value a second, or none."""
    next_s = 0
    for at_s, value in series:
        if at_s > next_s:
            yield f"_x{at_s - next_s}"
        yield f"{value:g}"
        next_s = at_s + 1
