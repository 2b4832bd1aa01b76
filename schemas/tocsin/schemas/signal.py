"""A signal: what evaluate tells lifecycle about one rule and one series."""

import math
import sys
from typing import Annotated, Final, Literal

import msgspec

from tocsin.schemas.instant import MAX_MS, MIN_MS, InstantMs, Integer
from tocsin.schemas.labels import stable_id

SERIES_LIMIT: Final = "tocsin_series_limit"  # the rule of the alert that a limit of series was met
SignalKind = Literal["pending", "firing", "changed", "ended"]
_Edge = Annotated[int, msgspec.Meta(ge=MIN_MS, le=MAX_MS)]  # a window may begin before 1970


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a verdict rests on. Times are epoch milliseconds; `window` is [start, end).

    `facts` are further figures: of a change the value it is against, of a forecast the present value and the slope, of
    an anomaly what was expected. `votes` has, by name, what each measure of a detector added to the score.
    """

    metric: str
    window: tuple[_Edge, _Edge]
    samples: Integer
    topic: str | None = None
    partition: Integer | None = None
    offset: Integer | None = None
    facts: dict[str, float] = {}
    votes: dict[str, float] = {}


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What tocsin has to say of itself, for which there is no rule: `notifications` names whom to tell."""

    name: str
    annotations: dict[str, str]
    notifications: tuple[str, ...] = ()


class Signal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition began (`pending`), has held long enough (`firing`), reached another level (`changed`), or is over
    (`ended`).

    `order` is (rule epoch, event time, number at that time): it only grows for one fingerprint, so a replayed signal is
    known by it. `since_ms` is when the condition began, `at_ms` when this transition took place, both in event time.
    `level` is the index of the rule's level in force. A `notice` stands in for a rule. `written_ms` is when it was put
    on its topic, as whoever reads it there knows.

    `value` is finite, as JSON has no other numbers: a sum beyond the largest float counts as that one (1.8e308 with its
    sign), and one that went beyond it both ways as 0.
    """

    fingerprint: str
    kind: SignalKind
    rule_id: str
    revision: Integer
    order: tuple[Integer, Integer, Integer]
    since_ms: InstantMs
    at_ms: InstantMs
    labels: dict[str, str]
    value: float
    evidence: Evidence
    unit: str | None = None
    reason: str = "condition"
    level: Integer = 0
    notice: Notice | None = None
    written_ms: InstantMs = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            bound = 0.0 if math.isnan(self.value) else math.copysign(sys.float_info.max, self.value)
            msgspec.structs.force_setattr(self, "value", bound)

    @property
    def id(self) -> str:
        """The same for every repeat of this signal."""
        return stable_id("signal", self.fingerprint, *self.order, self.kind)
