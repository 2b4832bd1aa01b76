"""Limits that were met: what all samples partitions say of one, put together, is one alert."""

from typing import Final

import msgspec

from tocsin.engine.evaluate.refusals import ROUND_MS
from tocsin.engine.partial import Limits, MetLimit
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.signal import SERIES_LIMIT, Evidence, Notice, Signal, SignalKind

_SETTLE_MS: Final = 9_000  # until every partition has said what it turned away: a look, which may come a little early
_MUCH: Final = 2  # times as many, or as few, are worth saying


class Told(msgspec.Struct, array_like=True):
    """An alert, or one to be: since when, when something was said of it last, and which number; none while `said_ms`
    is 0. `other_ms` is since when there is another to be said."""

    since_ms: int
    said_ms: int = 0
    number: int = 0
    other_ms: int | None = None


class LimitAlerts:
    """`_named` is what each source says, `_told` what was made of it, by rule. Nothing is said before what was last."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[MetLimit, ...]] = {}
        self._told: dict[str, Told] = {}
        self._order = 0, 0

    def take(self, limits: Limits) -> list[Signal]:
        """A source names its limits."""
        self._named[limits.source] = limits.met
        found: dict[str, list[MetLimit]] = {}
        for met in self._named.values():
            for one in met:
                found.setdefault(one.rule_id, []).append(one)
        signals = []
        for rule_id in sorted(found.keys() | self._told.keys()):
            kind = self._turn(rule_id, found.get(rule_id, []), limits.clock_ms)
            if kind is not None:
                signals.append(self._signal(kind, rule_id, found.get(rule_id, []), limits.clock_ms))
            if rule_id not in found:
                del self._told[rule_id]
        return signals

    def _turn(self, rule_id: str, met: list[MetLimit], clock_ms: int) -> SignalKind | None:
        """What is to be said of one limit now."""
        told = self._told.get(rule_id)
        if not met:
            return "ended" if told is not None and told.said_ms else None
        if told is None:
            told = self._told[rule_id] = Told(min(one.since_ms for one in met))
        number = sum(one.number for one in met)
        if not (number >= _MUCH * told.number or told.number >= _MUCH * number):
            told.other_ms = None
            return None
        told.other_ms = clock_ms if told.other_ms is None else told.other_ms
        if clock_ms - told.other_ms < _SETTLE_MS or clock_ms - told.said_ms < ROUND_MS:
            return None
        return "changed" if told.said_ms else "firing"

    def _signal(self, kind: SignalKind, rule_id: str, met: list[MetLimit], clock_ms: int) -> Signal:
        told = self._told[rule_id]
        if kind != "ended":
            told.said_ms, told.other_ms = clock_ms, None
            told.number = sum(one.number for one in met)
        at_ms, number = self._order
        self._order = (clock_ms, 0) if clock_ms > at_ms else (at_ms, number + 1)
        labels = {"rule_id": rule_id, "limit": "max_series"} if rule_id else {"limit": "evaluate.max_series"}
        metric = met[0].metric if met else ""
        return Signal(
            fingerprint=alert_fingerprint(SERIES_LIMIT, labels),
            kind=kind,
            rule_id=SERIES_LIMIT,
            revision=0,
            order=(0, *self._order),
            since_ms=told.since_ms,
            at_ms=self._order[0],
            labels=labels,
            value=float(told.number),
            evidence=Evidence(metric=metric, window=(told.since_ms, self._order[0]), samples=0),
            notice=_notice(rule_id, met, told.number),
        )

    def pack(self) -> bytes:
        """For a checkpoint."""
        return msgspec.msgpack.encode((self._named, self._told, self._order))

    @classmethod
    def unpack(cls, value: bytes) -> "LimitAlerts":
        """The inverse of `pack`."""
        found = cls()
        found._named, found._told, found._order = msgspec.msgpack.decode(value, type=_Packed)
        return found


_Packed = tuple[dict[str, tuple[MetLimit, ...]], dict[str, Told], tuple[int, int]]


def _notice(rule_id: str, met: list[MetLimit], number: int) -> Notice:
    """What the alert says. That it is over is said to those who were told."""
    if not met:
        summary, mend = "No more series are turned away.", ""
    elif rule_id:
        summary = f"Rule {rule_id} watches the {met[0].most} series of {met[0].metric} in a partition that it may; "
        mend = "Narrow its match, or raise its max_series."
    else:
        summary = f"The rules together watch the {met[0].most} series in a partition that they may; "
        mend = "Narrow the rules' match, or raise evaluate.max_series; it needs memory."
    if met:
        summary += f"about {number} more are not watched." if number > 1 else "another is not watched."
    told = tuple(sorted({name for one in met for name in one.told}))
    return Notice("Series limit met", {"summary": summary, **({"mend": mend} if mend else {})}, told)
