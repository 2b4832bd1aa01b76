"""What tocsin says of a case: the engine's replay, as `tocsin backtest` runs it, asked at the same instants."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import orjson
from tests.prometheus.cases import Case
from tests.prometheus.promtool import FIRING, NONE, PENDING

from tocsin.engine.ingest.interning import Interner
from tocsin.engine.replay import Batch, Replay

BEGIN_MS = 1_767_225_600_000
_LETTERS = {"pending": PENDING, "firing": FIRING, "changed": FIRING, "ended": NONE}


def verdicts(case: Case) -> list[str]:
    """A text for each series with a letter for each instant."""
    interner = Interner(1)
    numbers = [interner.number("m", orjson.dumps({"series": str(index)}), None) for index in range(len(case.series))]
    samples = sorted(
        (at_s, number, value) for number, some in zip(numbers, case.series, strict=True) for at_s, value in some
    )
    replay = Replay([case.rule], interner)
    at_ms = BEGIN_MS - case.shift_ms + np.array([at_s * 1_000 for at_s, _, _ in samples], np.int64)
    values = np.array([value for _, _, value in samples], np.float64)
    replay.take(Batch(np.array([number for _, number, _ in samples], np.int64), at_ms, values))
    replay.finish()
    changes: list[list[tuple[int, str]]] = [[(-1, NONE)] for _ in case.series]
    for signal in replay.drain()[0]:  # not events: that a pending alert vanishes is none
        changes[int(signal.labels["series"])].append((signal.at_ms - BEGIN_MS, _LETTERS[signal.kind]))
    return ["".join(_at(some, at_s * 1_000) for at_s in case.instants_s) for some in changes]


def _at(changes: list[tuple[int, str]], at_ms: int) -> str:
    return changes[bisect_right([when for when, _ in changes], at_ms) - 1][1]
