"""A worker's name in its group: the same after a restart, and never that of two workers at a time."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

from tocsin.agents.instance import claim_instance


def _claimed_by_another_process(directory: Path) -> str | None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(claim_instance, (directory,))


def test_the_name_is_the_same_once_the_process_that_had_it_is_gone(tmp_path: Path) -> None:
    first = _claimed_by_another_process(tmp_path)

    assert first
    assert _claimed_by_another_process(tmp_path) == first


def test_two_processes_never_have_one_name_at_a_time(tmp_path: Path) -> None:
    assert claim_instance(tmp_path)
    assert _claimed_by_another_process(tmp_path) is None


def test_a_copy_of_a_directory_is_another_worker(tmp_path: Path) -> None:
    first = claim_instance(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy2(tmp_path / "instance", tmp_path / "copy")

    copied = _claimed_by_another_process(tmp_path / "copy")

    assert copied not in (None, first)
    assert _claimed_by_another_process(tmp_path / "copy") == copied


def test_a_worker_without_a_place_of_its_own_goes_without_a_name(tmp_path: Path) -> None:
    assert claim_instance(tmp_path / "nowhere") is None
