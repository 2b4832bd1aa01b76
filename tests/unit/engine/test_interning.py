"""The interner: what it knows is bounded, and forgetting changes nothing."""

from __future__ import annotations

import pytest

from tocsin.engine.ingest import interning
from tocsin.engine.ingest.codecs import CODECS
from tocsin.engine.ingest.interning import Interner
from tocsin.engine.ingest.step import Run, step

AT_MS = 1_700_000_000_000


def test_spellings_are_forgotten_beyond_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interning, "MAX_SPELLINGS_BYTES", 20_000)
    interner, most = Interner(2), 0
    for number in range(50):
        value = b'{"name": "m", "value": 1, "labels": {"a": "%d-%s"}}' % (number, b"x" * 4_000)
        done = step(interner, Run("metrics", 0, [number], [AT_MS], [None], [value]), CODECS["json"], AT_MS, 0)
        assert (done.samples, done.dead) == (1, [])
        most = max(most, interner.count)
    assert 1 < most <= 6
    interner.forget()
    assert interner.size_bytes == 0
