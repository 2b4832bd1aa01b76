"""What Prometheus said, recorded: `python -m tests.prometheus.record` asks a promtool of 3.0 or later."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.prometheus import promtool
from tests.prometheus.cases import case

PATH = Path(__file__).with_name("verdicts.json")
CASES = 300


@dataclass(frozen=True)
class Record:
    """The version that was asked, and of each case a text for each series."""

    version: str
    verdicts: dict[int, list[str]]


def read() -> Record:
    """What is recorded."""
    found = json.loads(PATH.read_text())
    return Record(found["prometheus"], {int(number): texts for number, texts in found["verdicts"].items()})


def write(binary: str) -> None:
    """Ask, and record."""
    with tempfile.TemporaryDirectory() as folder:
        verdicts = promtool.verdicts(binary, {number: case(number) for number in range(CASES)}, Path(folder))
    version = ".".join(map(str, promtool.version(binary)))
    lines = [f'  "{number}": {json.dumps(texts)}' for number, texts in verdicts.items()]
    PATH.write_text(f'{{"prometheus": "{version}", "verdicts": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    found = promtool.find()
    assert found, "set TOCSIN_TEST_PROMTOOL to a promtool"
    write(found)
