"""`tocsin sim` over a range of seeds: it says what it cost, notes how far it came, and goes on from there."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tocsin.cli.app import run as tocsin
from tocsin.engine.simulation import schedule
from tocsin.engine.simulation.schedule import Outcome


class Runs:
    """In the place of a simulation: which seeds were run; one of them is bad."""

    def __init__(self, bad: int = -1) -> None:
        self.seeds: list[int] = []
        self.bad = bad

    def __call__(self, seed: int) -> Outcome:
        self.seeds.append(seed)
        return Outcome(seed, 1, "sequence" if seed == self.bad else "")


Sim = Callable[..., str]


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The command tunes its process for itself."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture
def sim(capsys: pytest.CaptureFixture[str]) -> Sim:
    """Runs the command; returns all that it said."""

    def said(*arguments: str) -> str:
        tocsin(["sim", *arguments])
        return "".join(capsys.readouterr())

    return said


def test_a_range_says_what_a_minute_of_the_processor_does(sim: Sim) -> None:
    said = sim("--from", "20", "--seeds", "6")
    assert said.startswith("6 seeds from 20 without a violation, ")
    assert said.endswith(" a minute of CPU\n")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_all_seeds_are_run_whatever_the_number_of_processes(sim: Sim, jobs: str) -> None:
    assert sim("--seeds", "4", "--jobs", jobs).startswith("4 seeds from 0 ")


def test_a_recorded_range_goes_on_where_it_was(sim: Sim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "clean.json"
    runs = Runs(bad=715)
    monkeypatch.setattr(schedule, "run", runs)
    arguments = ("--from", "100", "--seeds", "900", "--record", str(record))
    assert "seed 715 violates sequence" in sim(*arguments)
    assert json.loads(record.read_text()) == {"first": 100, "next": 715}
    runs.bad = -1
    del runs.seeds[:]
    assert sim(*arguments).startswith("900 seeds from 100 without a violation, ")
    assert runs.seeds == list(range(715, 1_000))
    assert "none was left" in sim(*arguments)


def test_a_record_of_another_range_is_refused(sim: Sim, tmp_path: Path) -> None:
    record = tmp_path / "clean.json"
    record.write_text('{"first": 5, "next": 9}')
    assert "of seeds from 5; add --from 5" in sim("--record", str(record))
    record.write_text("[]")
    assert "is not a record of seeds" in sim("--record", str(record))


def test_a_record_that_cannot_be_written_is_said(sim: Sim, tmp_path: Path) -> None:
    assert "cannot be written (No such file" in sim("--seeds", "2", "--record", str(tmp_path / "none" / "clean.json"))
