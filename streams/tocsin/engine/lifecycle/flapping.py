"""Alerts that flap: one that stays active, and says so, instead of many that come and go.

It flaps from the change that is the last of so many within a time, until there was none for as long. Meanwhile it stays
active whatever its condition says, each change is an event that nobody is told of (`ongoing`, or `worse` than anything
before, which is told), and then it says how it is.
"""

from typing import Final, Literal

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.schemas.kinds import Flapping
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

OVER: Final = "flapping over"
Phase = Literal["", "started", "ongoing", "worse"]
_OF_THE_CONDITION: Final = ("condition", "no data")


def changed(record: AlertRecord, signal: Signal, rule: Rule | None, rank: int) -> Phase:
    """A condition began, ended or reached another level, whose severity has this rank; what that means for flapping.

    When it is calm again is counted by the clock, from when the signal was written: that it comes late says nothing.
    """
    flapping = rule.flapping if rule and signal.reason in _OF_THE_CONDITION else None
    if flapping is None:
        record.flips = ()
        return ""
    record.flips = (*record.flips, signal.at_ms)[-flapping.changes :]
    if not record.is_flapping:
        return _begun(record, signal, flapping, rank)
    record.calm_ms = _calm_ms(signal, flapping)
    is_worse = rank > record.peak
    record.peak = max(record.peak, rank)
    return "worse" if is_worse else "ongoing"


def _begun(record: AlertRecord, signal: Signal, flapping: Flapping, rank: int) -> Phase:
    if len(record.flips) < flapping.changes or record.flips[-1] - record.flips[0] > flapping.within:
        return ""
    record.calm_ms, record.peak = _calm_ms(signal, flapping), rank
    return "started"


def _calm_ms(signal: Signal, flapping: Flapping) -> int:
    return max(signal.at_ms, signal.written_ms) + flapping.within
