"""`tocsin backtest`: what it prints, its exit codes, and the commands of its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests import history

from tocsin.cli.app import run

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "backtest.md"


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    history.write(tmp_path)


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_page_work(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = command.split()
    assert program == "tocsin"
    assert run(arguments) == 0
    assert capsys.readouterr().out
    if "cpu.png" in command:
        assert Path("cpu.png").read_bytes()[:4] == b"\x89PNG"


def test_it_prints_alerts_counts_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backtest", "--rules", "rules.yaml", "--input", "cpu.csv"]) == 0
    shown = capsys.readouterr()
    (row,) = [line.split() for line in shown.out.splitlines() if "critical" in line]
    assert row[:2] == ["cpu_high", "critical"]
    assert [line.split() for line in shown.out.splitlines() if line.strip().startswith("slow")] == [
        ["slow", "0", "0", "0", "0", "0"]
    ]
    assert "samples: 864, series: 1, alerts: 1, late samples: 0, dead letters: 0" in shown.err


def test_json_has_the_same_and_the_labels_of_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backtest", "--rules", "rules.yaml", "--input", "shop.jsonl", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (alert,) = found["alerts"]
    assert alert["labels"] == {"host": "a2", "service": "shop", "team": "shop"}
    assert (alert["severity"], alert["unit"]) == ("error", "ms")
    assert alert["started_at"] < "2026-03-04T02:30" <= alert["resolved_at"]
    assert alert["peak"] > 1_000
    assert found["totals"]["series"] == 2


def test_the_order_of_a_file_does_not_matter_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Path("shop.jsonl").read_text("utf-8").splitlines()
    Path("sorted.jsonl").write_text("\n".join(sorted(lines, key=lambda line: json.loads(line)["timestamp"])))
    printed = []
    for name in ("shop.jsonl", "sorted.jsonl"):
        assert run(f"backtest --rules rules.yaml --input {name} -o json".split()) == 0
        printed.append(json.loads(capsys.readouterr().out)["alerts"])
    assert printed[0] == printed[1]
    assert run(["backtest", "--rules", "rules.yaml", "--input", "shop.jsonl", "--as-written", "-o", "json"]) == 0
    late = {rule["rule_id"]: rule["late_samples"] for rule in json.loads(capsys.readouterr().out)["rules"]}
    assert late["slow"] > 1_000


def test_what_is_no_sample_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("cpu.csv").write_text("timestamp,value\n2026-03-02 00:00:00,high\n2026-03-02 00:05:00,1\n")
    assert run(["backtest", "--rules", "rules.yaml", "--input", "cpu.csv", "--plot", "cpu.png"]) == 0
    shown = capsys.readouterr().err
    assert "--plot: nothing was drawn, since no alert fired" in shown
    assert "no alert would have fired" in shown
    assert "1 refused (value): cpu.csv:2:" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--rules bad.yaml --input cpu.csv", 1, "bad.yaml:1:36: threshold: 'x' must be a number"),
        ("--rules rules.yaml", 2, "--input: name a file, or a topic"),
        ("--rules rules.yaml --input cpu.csv --topic metrics --since 2h", 2, "--input: name a file, or a topic"),
        ("--rules rules.yaml --topic metrics", 2, "--since: goes with --topic"),
        ("--rules rules.yaml --topic metrics --since soon", 2, "--since: 'soon' is not a duration; try 5m"),
        ("--rules rules.yaml --input none.csv", 2, "none.csv: cannot be read"),
        ("--rules rules.yaml --input rules.yaml", 2, "is neither .jsonl nor .csv"),
        ("--rules rules.yaml --input cpu.csv --plot cpu.jpg", 2, "--plot: 'cpu.jpg' must end in .png"),
        ("--rules rules.yaml --input cpu.csv --plot - --output json", 2, "--plot: - goes with"),
        ("--rules rules.yaml --topic metrics --since 2h", 3, "cannot be reached"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: str,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    Path("bad.yaml").write_text("{id: a, metric_type: m, threshold: x}")
    assert run(["backtest", *arguments.split()]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_against_other_rules_only_what_differs_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    old = Path("rules.yaml").read_text("utf-8")
    Path("new.yaml").write_text(old.replace("threshold: 900", "threshold: 5000"), "utf-8")
    arguments = ["backtest", "--rules", "new.yaml", "--against", "rules.yaml", "--input", "shop.jsonl"]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    (row,) = [line.split() for line in shown.out.splitlines() if "slow" in line]
    assert row[:3] == ["slow", "removed", "host=a2,"]
    assert "alerts: 0 in both, 0 added, 1 removed" in shown.err
    assert run([*arguments, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["alerts"], len(found["against"]["only_current"])) == ([], 1)
    assert run([*arguments[:4], "new.yaml", *arguments[5:]]) == 0
    assert "no difference" in capsys.readouterr().err
