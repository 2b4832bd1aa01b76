"""`edit`: what is written of what was changed by hand, or by a patch, and what is kept where that is refused."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.api_double import ApiDouble, Request

from tocsin.cli.app import run
from tocsin.cli.client import Answer, ApiClient
from tocsin.cli.failures import Failure

STORED: dict[str, Any] = {
    "id": "anna", "name": "Anna", "contacts": [{"channel": "mail", "min_severity": None}],
    "revision": 4, "updated_at": "2026-01-01T00:00:00Z",
}  # fmt: skip
SENT = list[Request]


class Api(ApiDouble):
    """One entry, whatever is asked for."""

    def answer(self, method: str, path: str, body: Any) -> Answer:
        if method == "GET":
            return Answer(200, STORED, '"4"')
        if body.get("name") == "refused":
            raise Failure("name: is refused")
        return Answer(200, {**STORED, **body, "warnings": [{"field": "name", "message": "is doubtful"}]}, '"5"')


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SENT:
    api = Api()
    monkeypatch.setattr(ApiClient, "send", api.send)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("VISUAL", raising=False)
    return api.written


def _editor(monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    code = f"import pathlib, sys; p = pathlib.Path(sys.argv[1]); t = p.read_text(); {work}"
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, "-c", code]))


def test_what_is_changed_in_the_editor_is_written_unless_others_changed_it(
    sent: SENT, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _editor(monkeypatch, "p.write_text(t.replace('Anna', 'Anna B'))")
    assert run(["people", "edit", "anna"]) == 0
    wanted = {"id": "anna", "name": "Anna B", "contacts": STORED["contacts"]}
    assert sent == [("PUT", "/people/anna", wanted, {"If-Match": '"4"'})]
    assert capsys.readouterr().err == "name: is doubtful\nchanged\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("0", 0, "unchanged\n"),
        ("sys.exit(3)", 1, "ended with 3; nothing was changed\n"),
    ],
)
def test_nothing_is_written_where_nothing_was_changed(
    sent: SENT, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    work: str, code: int, said: str,
) -> None:  # fmt: skip
    _editor(monkeypatch, work)
    assert run(["people", "edit", "anna"]) == code
    assert capsys.readouterr().err.endswith(said)
    assert sent == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: refused", "name: is refused\nyour text is kept in {kept}\n"),
        ("[", "nothing was changed; your text is kept there\n"),
        ("- name", "{kept}:1:1: must be a mapping of names to values; nothing was changed\n"),
    ],
)
@pytest.mark.usefixtures("sent")
def test_a_text_that_is_refused_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    _editor(monkeypatch, f"p.write_text({text!r})")
    assert run(["people", "edit", "anna"]) == 1
    (kept,) = tmp_path.iterdir()
    assert kept.read_text() == text
    assert kept.stat().st_mode & 0o077 == 0
    assert capsys.readouterr().err.endswith(said.format(kept=kept))


def test_a_patch_needs_no_editor(sent: SENT, tmp_path: Path) -> None:
    (tmp_path / "change.yaml").write_text("route: {group_wait: null}\n")
    assert run(["routes", "edit", "--merge", str(tmp_path / "change.yaml")]) == 0
    assert sent == [("PATCH", "/routes", {"route": {"group_wait": None}}, {"If-Match": '"4"'})]


@pytest.mark.parametrize(
    ("editor", "said"),
    [("no-such-editor -w", "is no program here"), ("   ", "is no program here"), ("vi '", "has a quote")],
)
@pytest.mark.usefixtures("sent")
def test_an_editor_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], editor: str, said: str
) -> None:
    monkeypatch.setenv("EDITOR", editor)
    assert run(["rules", "edit", "slow"]) == 2
    assert capsys.readouterr().err.startswith(f"{editor}: {said}")
