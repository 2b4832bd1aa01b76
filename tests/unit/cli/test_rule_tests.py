"""`tocsin rules test`: what it says of tests that fail, and of files that are no tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tocsin.cli.app import run
from tocsin.documents import parse

RULES = """\
rules:
  - id: errors
    metric_type: errors
    threshold: 2
    notifications: [email]
    annotations: {summary: "{{ value }} errors"}
"""
FAILS = (
    RULES
    + """\
tests:
  - name: it fires
    input:
      - {series: 'errors{host="a"}', values: '1 3 5'}
      - {series: 'errors{host="b"}', values: 7}
    commands:
      - {at: 0m, do: ack, rule: errors, labels: {host: c}}
    expect:
      - at: 1m
        alerts:
          - {rule: errors, status: pending, labels: {host: a}, value: 4, annotations: {summary: 4 errors}}
          - {rule: errors, labels: {host: c}}
        states: {'errors{host="a"}': ok}
        notifications:
          - {channel: email, type: resolved, labels: {host: b}}
  - name: it is quiet
    input: []
    expect: [{at: 1m, alerts: []}]
"""
)
SAID = """\
FAIL  t.yaml:8  it fires
      t.yaml:13:9: at 0s: acknowledge errors{host="c"}
               expected  actual
        alert  firing    errors{host="b"}
      t.yaml:17:13: at 1m: errors{host="a"}
                     expected              actual
        status       pending               firing
        value        4                     3
        annotations  {summary="4 errors"}  {summary="3 errors"}
      t.yaml:18:13: at 1m: errors{host="c"}
                expected    actual
        labels  {host="c"}  {host="b"}
      t.yaml:19:38: at 1m: errors{host="a"}
               expected  actual
        state  ok        firing
      t.yaml:21:13: at 1m: email resolved {host="b"}
              expected  actual
        type  resolved  firing
      t.yaml:20:9: at 1m: email firing errors{host="a"}
               expected  actual
        type   nothing   firing
        value            3
ok    t.yaml:22  it is quiet
"""


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(FAILS)


def test_what_differs_stands_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "test", "t.yaml"]) == 1
    said = capsys.readouterr()
    assert said.out == SAID
    assert said.err == "1 passed, 1 failed\n"


def test_tests_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "test", "t.yaml", "--run", "quiet"]) == 0
    assert capsys.readouterr().err == "1 passed, 0 failed\n"
    assert run(["rules", "test", "t.yaml", "--run", "quit"]) == 2
    assert "--run: no test has 'quit' in its name; there is 'it is quiet'" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_programs_get_the_same_as_values(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rules", "test", "t.yaml", "--output", output]) == 1
    text = capsys.readouterr().out
    found: Any = json.loads(text) if output == "json" else parse(text.encode(), "output").value
    assert [(one["file"], one["line"], one["name"], one["passed"]) for one in found] == [
        ("t.yaml", 8, "it fires", False),
        ("t.yaml", 22, "it is quiet", True),
    ]
    first = found[0]["differences"][1]
    assert (first["line"], first["column"], first["at"], first["subject"]) == (17, 13, "1m", 'errors{host="a"}')
    assert first["fields"][0] == {"field": "status", "expected": "pending", "actual": "firing"}


def test_rules_may_lie_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules" / "api.yaml").write_text(RULES)
    (tmp_path / "tests" / "api.yaml").write_text(
        "rule_files: [../rules/api.yaml]\n"
        "tests:\n"
        "  - name: it fires\n"
        "    input: [{series: errors, values: 3}]\n"
        "    expect: [{at: 0m, states: {errors: firing}}]\n"
    )
    assert run(["rules", "test", "tests/api.yaml"]) == 0


def test_routes_may_lie_in_a_file_of_their_own_and_show_what_is_sent_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "routes.yaml").write_text("route: {channels: [chat], group_wait: 10s}\n")
    (tmp_path / "t.yaml").write_text(
        "rules: [{id: errors, metric_type: errors, threshold: 0}]\nrouting_file: routes.yaml\ntests:\n"
        "  - name: it is told\n"
        "    input: [{series: errors, values: 3}]\n"
        "    expect: [{at: 1m, notifications: [{channel: chat, type: firing, at: 30s, alerts: 2, reason: first}]}]\n"
    )
    assert run(["rules", "test", "t.yaml"]) == 1
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["at", "30s", "10s"] in shown
    assert ["alerts", "2", "1"] in shown
    (tmp_path / "routes.yaml").write_text("route: {channel: [chat]}\n")
    assert run(["rules", "test", "t.yaml"]) == 1
    assert "routes.yaml:1:9: route.channel: is not a known field" in capsys.readouterr().err


def test_a_partial_list_may_leave_out_alerts_and_labels(tmp_path: Path) -> None:
    (tmp_path / "partial.yaml").write_text(
        RULES + "tests:\n"
        "  - name: some of it\n"
        "    input:\n"
        '      - {series: \'errors{host="a", zone="x"}\', values: 3}\n'
        '      - {series: \'errors{host="b", zone="x"}\', values: 3}\n'
        "    expect:\n"
        "      - {at: 0m, partial: true, alerts: [{rule: errors, labels: {host: a}}], notifications: []}\n"
    )
    assert run(["rules", "test", "partial.yaml"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests: []\n", ["w.yaml:1:8: tests: has too few entries; add some"]),
        ("tests: [{name: x, expect: [{at: 1m, alerts: []}]}]", ["w.yaml:1:1: rules: are missing"]),
        ("- a\n", ["w.yaml:1:1: must hold rules and tests"]),
        (
            RULES + "tests:\n  - nam: x\n    input: [{series: 'm{', values: 1y}]\n    expect: [{at: soon}]\n",
            [
                "w.yaml:8:5: tests.0.nam: is not a known field; did you mean 'name'?",
                "w.yaml:8:5: tests.0.name: is missing; add it",
                "w.yaml:9:22: tests.0.input.0.series: 'm{' does not end with a brace",
                "w.yaml:9:36: tests.0.input.0.values: '1y' is not a value",
                "w.yaml:10:19: tests.0.expect.0.at: 'soon' is not a duration",
            ],
        ),
        (
            RULES + "tests:\n  - name: x\n    expect:\n      - {at: 1m, states: {eror: ok}}\n"
            "      - {at: 1m, alerts: [{rule: errrs, value: much}]}\n"
            "      - {at: 1m}\n",
            [
                "w.yaml:11:48: tests.0.expect.1.alerts.0.value: 'much' is neither a number nor a range",
                "w.yaml:12:9: tests.0.expect.2: expects nothing; add alerts, states or notifications",
            ],
        ),
        (
            RULES + "tests:\n  - name: x\n    expect:\n      - {at: 1m, states: {eror: ok}}\n"
            "      - {at: 1m, alerts: [{rule: errrs}]}\n",
            [
                "w.yaml:10:33: tests.0.expect.0.states.eror: 'eror' is none of the rules; did you mean 'errors'?",
                "w.yaml:11:34: tests.0.expect.1.alerts.0.rule: 'errrs' is none of the rules; did you mean 'errors'?",
            ],
        ),
        (
            "rules: [{id: a, metric_type: m}]\nrule_files: [none.yaml]\nchannels: [{id: c}]\n"
            "tests: [{name: x, expect: [{at: 1m, alerts: []}]}]\n",
            [
                "none.yaml: there is no such file; check the path",
                "w.yaml:1:9: threshold: is missing; add it",
                "w.yaml:3:12: type: is missing; add it",
            ],
        ),
    ],
)
def test_every_mistake_in_a_file_of_tests_is_said_with_its_place(
    text: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.yaml").write_text(text)
    assert run(["rules", "test", "w.yaml"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(said), lines
    for line, beginning in zip(lines, said, strict=True):
        assert line.startswith(beginning)


def test_the_example_in_the_manual_says_what_the_manual_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "rule-tests.md").read_text("utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", manual, re.DOTALL)
    example = next(text for kind, text in blocks if kind == "yaml")
    passed, failed = (text for kind, text in blocks if not kind)
    (tmp_path / "checkout.yaml").write_text(example)
    assert run(["rules", "test", "checkout.yaml"]) == 0
    said = capsys.readouterr()
    assert passed == f"$ tocsin rules test checkout.yaml\n{said.out}{said.err}"
    (tmp_path / "checkout.yaml").write_text(example.replace("threshold: 500", "threshold: 1000"))
    assert run(["rules", "test", "checkout.yaml"]) == 1
    assert capsys.readouterr().out.startswith(failed)
    acts = next(text for kind, text in blocks if "commands:" in text)
    (tmp_path / "checkout.yaml").write_text(example.replace("    expect:\n", f"{acts}    expect:\n"))
    assert run(["rules", "test", "checkout.yaml"]) == 0
