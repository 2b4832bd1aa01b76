"""A signal: what evaluate tells lifecycle about one rule and one series."""

from typing import Literal

import msgspec

from tocsin.schemas.labels import stable_id

SignalKind = Literal["pending", "firing", "changed", "ended"]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verdict rests on. Times are epoch milliseconds; `window` is [start, end).

    `facts` are further figures: of a change the value it is against, of a forecast the present value and the slope.
    """

    metric: str
    window: tuple[int, int]
    samples: int
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    facts: dict[str, float] = {}


class Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition began (`pending`), has held long enough (`firing`), reached another level (`changed`), or is over
    (`ended`).

    `order` is (rule epoch, event time, number at that time): it only grows for one fingerprint, so a replayed signal is
    known by it. `since_ms` is when the condition began, `at_ms` when this transition took place, both in event time.
    `level` is the index of the rule's level in force.
    """

    fingerprint: str
    kind: SignalKind
    rule_id: str
    revision: int
    order: tuple[int, int, int]
    since_ms: int
    at_ms: int
    labels: dict[str, str]
    value: float
    evidence: Evidence
    unit: str | None = None
    reason: str = "condition"
    level: int = 0

    @property
    def id(self) -> str:
        """The same for every repeat of this signal."""
        return stable_id("signal", self.fingerprint, *self.order, self.kind)
