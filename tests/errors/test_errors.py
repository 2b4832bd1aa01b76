"""A file for each mistake that rule files have, and the exact lines that say so and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.cli.app import run
from tocsin.cli.failures import Failure
from tocsin.cli.files import read_rules
from tocsin.cli.rulebooks import cross_checked
from tocsin.schemas.rule import Rule

HERE = Path(__file__).parent
IN_VAIN = """
- {id: gone, condition: absence, duration: 5m, on_no_data: ok, metric_type: m}
- {id: calm, metric_type: m, threshold: 5, no_data_after: 10s}
- {id: told, metric_type: m, threshold: 5, no_data_after: 10s, on_no_data: alert}
- id: both
  condition: composite
  conditions: [{rule: calm, on_no_data: alert}, {rule: told, on_no_data: alert}, gone]
  match: [env=prod]
  metric_type: m
  on_no_data: alert
  aggregation: max
"""
FILES = sorted(path.name for path in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_is_said_with_its_place_and_mend(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(HERE)
    assert run(["rules", "check", name]) == 1
    said = capsys.readouterr()
    assert said.err == (HERE / name).with_suffix(".txt").read_text("utf-8")
    assert said.out == ""


def test_there_is_a_file_for_each_expected_text_and_the_reverse() -> None:
    assert [Path(name).stem for name in FILES] == sorted(path.stem for path in HERE.glob("*.txt"))
    assert len(FILES) >= 30


def test_mistakes_of_several_files_are_said_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(HERE)
    assert run(["rules", "check", "yaml_tab.yaml", "window_size.yaml", "not_a_duration.yaml"]) == 1
    said = capsys.readouterr().err
    assert said == "".join(
        (HERE / name).read_text("utf-8") for name in ("yaml_tab.txt", "window_size.txt", "not_a_duration.txt")
    )


def test_what_has_no_effect_is_said_of_rules_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text(IN_VAIN)
    assert run(["rules", "check", "rules.yaml"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "rules.yaml:2:44: duration: does nothing with condition absence; say how long a series may be silent: "
        "absence: {after: 5m}",
        "rules.yaml:2:60: on_no_data: does nothing with condition absence, which is about silence itself; remove it",
        "rules.yaml:3:59: no_data_after: does nothing with on_no_data: keep; set on_no_data: alert, or ok",
        "rules.yaml:7:41: conditions.0.on_no_data: does nothing, as rule 'calm' is never without data; "
        "set on_no_data: alert there",
        "rules.yaml:8:10: match: does nothing with condition composite; give it to the rules that it is over",
        "rules.yaml:9:16: metric_type: does nothing with condition composite, which is over rules; remove it",
        "rules.yaml:10:15: on_no_data: does nothing with condition composite; say it of each condition: "
        "{rule: cpu, on_no_data: alert}",
        "rules.yaml:11:16: aggregation: does nothing with burn_rate and composite; remove it",
        "4 rules are valid",
    ]


def test_a_composite_may_be_over_rules_in_force_but_not_go_round_through_them(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("{id: c, condition: composite, conditions: [there]}")
    leaf = Rule.model_validate({"id": "there", "metric_type": "m", "threshold": 1})
    assert [placed.entry.id for placed in cross_checked(read_rules([path]), {"there": leaf})] == ["c"]
    assert [placed.entry.id for placed in cross_checked(read_rules([path]), {"there": None})] == ["c"]
    with pytest.raises(Failure, match="there is no rule 'there' in the files, nor in force; add it, or name another"):
        cross_checked(read_rules([path]), {})
    back = Rule.model_validate({"id": "there", "condition": "composite", "conditions": ["c"]})
    with pytest.raises(Failure, match=r"rules.yaml:1:44: conditions.0.rule: goes round in a circle: c > there > c"):
        cross_checked(read_rules([path]), {"there": back})
