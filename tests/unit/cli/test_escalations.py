"""`tocsin people`, `schedules`, `escalations`: files with all of them, checked, and what `apply` sends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.api_double import ApiDouble

from tocsin.cli.app import run
from tocsin.cli.client import Answer
from tocsin.cli.escalation_files import apply, read
from tocsin.cli.failures import Failure
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.oncall import Person, Schedule

GOOD = """\
escalations:
  - id: page
    next_policy: managers
    steps:
      - notify: [{schedule: primary}]
      - {wait: 10m, notify: [chat, {person: ben}]}
  - {id: managers, steps: [{notify: [chat]}]}
people:
  - {id: anna, contacts: [anna-mail]}
  - {id: ben, contacts: [{channel: anna-mail, min_severity: critical}]}
schedules:
  - id: primary
    time_zone: Europe/Berlin
    layers:
      - {people: [anna, ben], starts: 2026-01-05}
"""
BAD = """\
people:
  - {id: anna, contacts: []}
  - {id: ben, channels: [mail]}
schedules:
  - id: primary
    timezone: Berlin
    layers:
      - people: [anna, bne]
        rotation: forthnightly
        starts: 5.1.2026
        handover: 9
  - id: secondary
    layers: [{people: [anna, bne], starts: 2026-01-05}]
escalations:
  - id: page
    repeat: -1
    steps:
      - {delay: 5m, notify: [{schedule: primary, person: anna}]}
  - id: other
    steps: [{notify: [{schedule: primry}]}]
"""
SAID = """\
bad.yaml:2:26: contacts: has too few entries; add some
bad.yaml:3:5: contacts: is missing; add it
bad.yaml:3:15: channels: is not a known field; did you mean 'contacts'?
bad.yaml:6:5: timezone: is not a known field; did you mean 'time_zone'?
bad.yaml:9:19: layers.0.rotation: 'forthnightly' is not a length of turns; write daily, weekly, or a length such as 12h
bad.yaml:10:17: layers.0.starts: '5.1.2026' is not a date; write it like 2026-01-05
bad.yaml:11:19: layers.0.handover: '9' is not a time of day; write it in quotes, from 00:00 to 24:00
bad.yaml:13:30: layers.0.people.1: there is no person 'bne' in the files; did you mean 'ben'?
bad.yaml:16:13: repeat: -1 must be greater than or equal to 0
bad.yaml:18:10: steps.0.delay: is not a known field; did you mean 'wait'?
bad.yaml:18:30: steps.0.notify.0: must name one of channel, schedule and person; such as {schedule: primary}
bad.yaml:20:34: steps.0.notify.0.schedule: there is no schedule 'primry' in the files; did you mean 'primary'?
"""


class Api(ApiDouble):
    """What is in force by path, and what was written."""

    def __init__(self, **in_force: list[dict[str, Any]]) -> None:
        super().__init__()
        self.in_force = {"channels": [{"id": "anna-mail"}, {"id": "chat"}], **in_force}

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(one.method, one.path) for one in self.written]

    @property
    def bodies(self) -> dict[str, Any]:
        return {one.path: one.body for one in self.written}

    def answer(self, method: str, path: str, body: Any) -> Answer:
        if method == "GET":
            return Answer(200, {"items": self.in_force.get(path.removeprefix("/"), [])}, None)
        return Answer(200, None, None)


def go(api: Api, path: Path, *, prune: bool = False, dry_run: bool = False) -> None:
    asyncio.run(apply(api, read([path], "people"), prune=prune, dry_run=dry_run))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "oncall.yaml"
    path.write_text(GOOD)
    return path


@pytest.mark.usefixtures("file")
def test_a_file_may_hold_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schedules", "check", "oncall.yaml"]) == 0
    assert capsys.readouterr().err == "2 people, 1 schedules, 2 escalations valid\n"


def test_every_mistake_is_named_with_its_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.with_name("bad.yaml").write_text(BAD)
    assert run(["escalations", "check", "bad.yaml"]) == 1
    assert capsys.readouterr().err == SAID


def test_what_stands_alone_is_of_the_commands_kind(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("- {id: anna, contacts: [mail]}\n")
    assert run(["people", "check", "oncall.yaml"]) == 0
    assert run(["schedules", "check", "oncall.yaml"]) == 1
    assert "oncall.yaml:1:14: contacts: is not a known field" in capsys.readouterr().err
    file.write_text("people: []\nrules: []\n")
    assert run(["people", "check", "oncall.yaml"]) == 1
    assert capsys.readouterr().err == "oncall.yaml:2:1: rules: does not go beside 'people'; remove it\n"


def test_each_is_written_after_what_it_names(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    go(api, file)
    names = ["/people/anna", "/people/ben", "/schedules/primary", "/escalations/managers", "/escalations/page"]
    assert api.sent == [("PUT", name) for name in names]
    assert capsys.readouterr().err == "5 created, 0 changed, 0 deleted, 0 unchanged\n"


def test_what_is_in_force_already_is_not_written_and_overrides_stay(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Api()
    go(first, file)
    in_force: dict[str, list[dict[str, Any]]] = {"people": [], "schedules": [], "escalations": []}
    for path, body in first.bodies.items():
        in_force[path.split("/")[1]].append({**body, "revision": 7, "updated_at": "2026-01-01T00:00:00Z"})
    times = {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-02-02T00:00:00Z"}
    swapped = Schedule.model_validate({**first.bodies["/schedules/primary"], "overrides": [{"person": "ben", **times}]})
    in_force["schedules"] = [swapped.document()]
    again = Api(**in_force)
    go(again, file, prune=True)
    assert again.sent == []
    assert "0 created, 0 changed, 0 deleted, 5 unchanged" in capsys.readouterr().err
    file.write_text(GOOD.replace("    time_zone", "    overrides: []\n    time_zone"))
    go(again, file)
    assert again.sent == [("PUT", "/schedules/primary")]


def test_prune_deletes_what_names_others_first_and_only_of_kinds_that_the_files_hold(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {"id": "old", "contacts": ["chat"]}
    policies = [{"id": "first", "steps": [{"notify": ["chat"]}], "next_policy": "second"},
                {"id": "second", "steps": [{"notify": [{"person": "old"}]}]}]  # fmt: skip
    night = {"id": "night", "layers": [{"people": ["old"], "starts": "2026-01-05"}]}
    in_force = {
        "people": [Person.model_validate(old).document()],
        "schedules": [Schedule.model_validate(night).document()],
        "escalations": [EscalationPolicy.model_validate(one).document() for one in policies],
    }
    api = Api(**in_force)
    go(api, file, prune=True)
    deleted = [path for method, path in api.sent if method == "DELETE"]
    assert deleted == ["/escalations/first", "/escalations/second", "/schedules/night", "/people/old"]
    file.write_text("people: [{id: anna, contacts: [chat]}]")
    api = Api(**in_force)
    capsys.readouterr()
    go(api, file, prune=True, dry_run=True)
    assert api.sent == []
    shown = capsys.readouterr().out
    assert "-id: old" in shown
    assert "-id: night" not in shown


def test_nothing_is_sent_where_something_names_what_is_not_there(file: Path) -> None:
    file.write_text(GOOD.replace("chat", "caht"))
    api = Api()
    with pytest.raises(
        Failure, match=r"oncall.yaml:6:30: .*there is no channel 'caht' in the files, nor in force; did"
    ):
        go(api, file)
    assert api.sent == []
