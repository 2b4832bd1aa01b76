"""A user's mistake: one line that names the field and the mend, on standard error, and the right exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.app import run
from tocsin.kafka.ports import free_ports

RULES = """\
rules:
  - id: a
    metric_type: m
    threshold: 1
    annotations: {summary: "{{ valu }}"}
  - id: b
    metric_typ: m
    threshold: high
"""
TWICE = "[{id: a, metric_type: m, threshold: 1}, {id: a, metric_type: m, threshold: 1}]"


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kafka, api = free_ports(2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{kafka}")
    monkeypatch.setenv("TOCSIN_API_PORT", str(api))
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "twice.yaml").write_text(TWICE)
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "bomb.yaml").write_text("a: &a [x]\nb: [*a, *a]\n")
    (tmp_path / "settings.yaml").write_text(
        "kafka:\n  partitions: x\n  bootstrap_serverz: a\napi: {connections_per_address: x}\n"
    )
    (tmp_path / "metrics.jsonl").write_text('{"name": "m", "value": 1}\n')


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("rules aply x", 2, "Did you mean 'apply'"),
        ("rules check rules.yaml", 1, "rules.yaml:5:28: annotations.summary: 'valu' is not known"),
        ("rules check rules.yaml", 1, "rules.yaml:7:5: metric_typ: is not a known field; did you mean 'metric_type'?"),
        ("rules check rules.yaml", 1, "rules.yaml:8:16: threshold: 'high' must be a number"),
        ("rules check twice.yaml", 1, "id: 'a' stands in"),
        ("rules check broken.yaml", 1, "broken.yaml:1:2: is not YAML"),
        ("rules check bomb.yaml", 1, "an anchor (&a) is not allowed"),
        ("rules check none.yaml", 1, "none.yaml: there is no such file; check the path"),
        ("rules list", 3, "cannot be reached"),
        ("alerts ack", 2, "FINGERPRINT"),
        ("silences add service=api --zone Mars", 2, "--zone: says whose clock counts for --rrule"),
        ("alerts list --label x", 2, "--label"),
        ("alerts list --output xml", 2, "--output"),
        ("topics check", 3, "TOCSIN_KAFKA_BOOTSTRAP_SERVERS"),
        ("produce metrics.jsonl", 3, "cannot be reached"),
        ("deliver emial", 2, "CHANNEL_TYPE: 'emial' is not one of email, slack"),
        ("up --port 0", 2, "--port"),
        ("config show --config none.yaml", 2, "none.yaml"),
        ("config show --config settings.yaml", 2, "settings.yaml:2:15: kafka.partitions: 'x' must be a whole number"),
        ("config show --config settings.yaml", 2, "settings.yaml:3:3: kafka.bootstrap_serverz: is not a known field"),
        ("config show --config settings.yaml", 2, "settings.yaml:4:32: api.connections_per_address: 'x' must"),
    ],
)
def test_a_mistake_is_one_line(arguments: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments.split()) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "TOCSIN_KAFKA_PARTITONS",
            "3",
            "is not a setting; did you mean TOCSIN_KAFKA_PARTITIONS?",
        ),
        ("TOCSIN_API_PORT", "99999", "TOCSIN_API_PORT: api.port: '99999' must be less than or equal to 65535"),
        ("TOCSIN_DELIVERY__ALLOW_NETWORKS", "10.0.0.0/99", "must be a network such as 10.0.0.0/8"),
        ("TOCSIN_KAFKA_SASL_PASSWORD", "${NOT_THERE}", "NOT_THERE"),
    ],
)
def test_a_wrong_setting_names_the_variable(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert run(["config", "show"]) == 2
    assert said in capsys.readouterr().err


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        "up", "evaluate", "route", "deliver", "api", "bench", "backtest", "produce", "kafka start", "kafka stop",
        "topics create", "topics check", "rules check", "rules test", "rules apply", "rules list", "rules get",
        "rules delete",
        "alerts list", "alerts show", "alerts ack", "alerts resolve", "alerts trigger", "channels list",
        "channels test", "dlq list", "dlq show", "dlq redrive", "config show",
    ):  # fmt: skip
        assert run([*command.split(), "--help"]) == 0
        assert f"tocsin {command.split()[0]}" in capsys.readouterr().out.split("Example")[1], command
