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
