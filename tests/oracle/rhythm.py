"""How long a series may be silent: a fixed time, or what follows from its gaps so far."""

from __future__ import annotations

import math

from tocsin.schemas.kinds import Absence
from tocsin.schemas.rule import Rule


class Rhythm:
    """The mean gap (each new one counts an eighth) and how far gaps stray from it (a quarter), as in RFC 6298.

    A series may miss `missed` mean gaps, or the mean gap and four strays, if that is longer, or one second. Four gaps
    must have been seen. A gap beyond that counts as one that was just not too long.
    """

    def __init__(self, rule: Rule) -> None:
        assert isinstance(rule.settings, Absence)
        self.settings = rule.settings
        self.seen_ms: int | None = None
        self.gaps = 0
        self.mean, self.stray = 0.0, 0.0

    def patience_ms(self) -> int | None:
        """How long it may be silent; None while that is not known."""
        if self.settings.after is not None:
            return self.settings.after
        if self.gaps < 4:
            return None
        return max(1_000, math.ceil(max(self.mean * self.settings.missed, self.mean + 4 * self.stray)))

    def gone_ms(self) -> int | None:
        """When it will be gone."""
        patience = self.patience_ms()
        return None if patience is None or self.seen_ms is None else self.seen_ms + patience

    def note(self, at_ms: int) -> None:
        """A sample."""
        if self.seen_ms is not None and at_ms > self.seen_ms:
            patience = self.patience_ms()
            gap = at_ms - self.seen_ms if patience is None else min(at_ms - self.seen_ms, patience)
            if self.gaps == 0:
                self.mean, self.stray = float(gap), gap / 2
            else:
                error = gap - self.mean
                self.mean, self.stray = self.mean + error / 8, self.stray + (abs(error) - self.stray) / 4
            self.gaps += 1
        self.seen_ms = at_ms
