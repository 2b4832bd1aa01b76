"""What a rule that learns makes of one series: the engine's own derivation, which gets the values one by one.

The detectors have oracles of their own. Here it is in question whether crashes, rebalances, replays and how input is
cut leave what they learnt equal to the last bit; a detector that never saw any of these is the obvious model of that.
"""

import numpy as np

from tocsin.engine.evaluate.derivations import DERIVATIONS
from tocsin.engine.evaluate.points import Points
from tocsin.engine.simulation.model_windows import Judged
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence


class Learnt:
    """A detector for one series."""

    def __init__(self, rule: Rule) -> None:
        hop_ms = rule.window.hop_ms if rule.window else 0
        self._derivation = DERIVATIONS[rule.judged_as](rule.settings, hop_ms, rule.operator in ("gt", "gte"))
        self._derivation.columns.add(1)

    def __call__(self, at_ms: int, value: float) -> Judged | None:
        """What is judged instead of a value; None while nothing can be said."""
        slot = np.zeros(1, np.int64)
        points = Points.one_each(slot, slot + at_ms, np.array([value]), lambda _: Evidence("", (0, 0), 1))
        found = self._derivation.derive(points)
        return (at_ms, float(found.values[0])) if len(found) else None
