"""Burn rates: how fast a service uses up the errors that its objective allows, over a long and a short window each.

A burn rate of 1 uses up the budget just by the end of its period. A pair of windows is over when both burn faster than
its factor: the long one shows that it matters, the short one that it still goes on (Google SRE workbook, chapter 5).
"""

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.combine.shares import Shares
from tocsin.engine.evaluate.plan import GroupSpec, Judged, burn_hop_ms
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.statistic import Span
from tocsin.engine.evaluate.statistics import mergeable_of
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.partial import Panes
from tocsin.schemas.duration import format_duration
from tocsin.schemas.kinds import BurnRate
from tocsin.schemas.signal import Evidence, Signal

_PARTS: Final = 2  # what went wrong, and everything


class BurnGroups(GroupLane):
    """`burning` is, by pair, the slower of its two burn rates when it was last looked at."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        self._allowed = 1 - spec.objective / 100
        self._closed_ms = [0] * len(spec.burns)
        severities = sorted({burn.severity for burn in spec.burns}, key=lambda severity: severity.rank)
        self._places = np.array([severities.index(burn.severity) + 1 for burn in spec.burns], np.float64)
        self._factors = np.array([burn.factor for burn in spec.burns])
        super().__init__(spec, judged, series, {"burning": ("f8", len(spec.burns), 0.0)})
        settings = next(v.rule.burn_rate for _, versions in judged.values() for v in versions)
        assert isinstance(settings, BurnRate)
        self._aggregate = "increase" if settings.counters else "sum"
        hops = [burn_hop_ms(burn) for burn in spec.burns for _ in range(_PARTS)]
        self._parts = [Shares({self._aggregate}, hop) for hop in hops]

    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """See GroupLane."""
        slots = self.slots_of(panes.keys)
        end_ms = int(np.frombuffer(panes.starts, np.int64).max()) + self._parts[part].hop
        self.saw(slots, np.full(len(slots), end_ms), listened_ms)
        self._parts[part].add(slots, panes)

    def advance(self, watermark_ms: int, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane. All pairs whose windows end at one time are looked at together."""
        due: dict[int, list[int]] = {}
        for pair, burn in enumerate(self.spec.burns):
            total = self._parts[_PARTS * pair + 1]
            until = (watermark_ms - self.spec.lateness_ms) // total.hop * total.hop
            for end in total.ends(self._closed_ms[pair], until, burn.long):
                due.setdefault(end, []).append(pair)
            self._closed_ms[pair] = max(self._closed_ms[pair], until)
        for end in sorted(due):
            self._close(end, due[end], out)
        for pair, burn in enumerate(self.spec.burns):
            for part in self._parts[_PARTS * pair : _PARTS * (pair + 1)]:
                part.expire(self._closed_ms[pair] - burn.long + part.hop)

    def ended_ms(self, slots: Ints) -> Ints:
        """See Lane: windows go on closing, and being judged, for as long as they hold anything."""
        held_ms = max(burn.long - self._parts[_PARTS * pair].hop for pair, burn in enumerate(self.spec.burns))
        return np.asarray(self.columns["heard"][slots] + held_ms)

    def _close(self, end: int, pairs: list[int], out: list[Signal]) -> None:
        seen: list[Ints] = []
        for pair in pairs:
            burn, total = self.spec.burns[pair], self._parts[_PARTS * pair + 1]
            slots = total.slots_in(end - burn.long, end)
            rates = [self._rate(pair, slots, end - length, end) for length in (burn.long, burn.short)]
            self.columns["burning"][slots, pair] = np.minimum(*rates)
            seen.append(slots)
        slots = np.unique(np.concatenate(seen))
        self.columns["judged"][slots] = end
        self.columns.touch(slots)
        burning = self.columns["burning"][slots]
        reached = np.where(burning >= self._factors, self._places, 0.0).max(axis=1)
        widest = max(pairs, key=lambda pair: self.spec.burns[pair].long)
        window = end - self.spec.burns[widest].long, end
        counts = self._parts[_PARTS * widest + 1].counts(slots, *window)
        evidence = self._evidence(burning, reached, window, counts)
        points = Points.one_each(slots, np.full(len(slots), end), reached, evidence)
        self.judge_all({"last": points}, out)

    def _rate(self, pair: int, slots: Ints, begin: int, end: int) -> Floats:
        answers = []
        span = Span(np.full(len(slots), begin), np.full(len(slots), end), np.ones(len(slots), np.int64))
        for part in self._parts[_PARTS * pair : _PARTS * (pair + 1)]:
            figures = part.figures(self._aggregate, slots, begin, end)
            answers.append(mergeable_of(self._aggregate).answer(self._aggregate, figures, span))
        wrong, everything = answers
        share = np.divide(wrong, everything, out=np.zeros(len(slots)), where=everything > 0)
        return np.asarray(share / self._allowed)

    def _evidence(
        self, burning: Floats, reached: Floats, window: tuple[int, int], counts: Ints
    ) -> Callable[[int], Evidence]:
        names = [f"burn_{format_duration(burn.long)}" for burn in self.spec.burns]

        def evidence(index: int) -> Evidence:
            over = burning[index] / self._factors
            worst = int(np.where(self._places >= reached[index], over, 0.0).argmax())
            facts = {"burn": float(burning[index, worst]), "factor": float(self._factors[worst])}
            facts |= dict(zip(names, burning[index].tolist(), strict=True))
            samples = int(counts[index])
            return Evidence(metric=self.spec.metric, window=window, samples=samples, facts=facts)

        return evidence

    def dismiss(self, number: int) -> None:
        """See Lane."""
        for part in self._parts:
            part.rows.forget_group(self.slot_of(number))
        super().dismiss(number)

    def pack_whole(self) -> bytes:
        """See Lane."""
        return msgspec.msgpack.encode((self._closed_ms, [part.rows.pack() for part in self._parts]))

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        self._closed_ms, parts = msgspec.msgpack.decode(value)
        for part, packed in zip(self._parts, parts, strict=True):
            part.rows.unpack(packed)
