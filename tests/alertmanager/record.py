"""What Alertmanager said, recorded: `python -m tests.alertmanager.record` asks the one that is found."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.alertmanager import program
from tests.alertmanager.scenarios import scenarios

PATH = Path(__file__).with_name("told.json")


@dataclass(frozen=True)
class Record:
    """The version that was asked, and the notifications of each scenario by its name."""

    version: str
    told: dict[str, list[str]]


def read() -> Record:
    """What is recorded."""
    found = json.loads(PATH.read_text())
    return Record(found["alertmanager"], found["told"])


def write(binary: str) -> None:
    """Ask, and record."""
    asked = scenarios()
    with tempfile.TemporaryDirectory() as folder:
        said = asyncio.run(program.said(binary, asked, Path(folder)))
    told = {one.name: lines for one, lines in zip(asked, said, strict=True)}
    PATH.write_text(json.dumps({"alertmanager": program.version(binary), "told": told}, indent=1) + "\n")


if __name__ == "__main__":
    found = program.find()
    assert found, "set TOCSIN_TEST_ALERTMANAGER to an alertmanager"
    write(found)
