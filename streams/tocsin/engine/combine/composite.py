"""Composites: a condition over whether other rules fire, for series that share some labels.

Members' alerts that have the composite's labels (`group_by`) in common belong together; a member holds while any of its
alerts of the group fires. What members begin and end is applied in order of event time, once all partitions have been
read up to it; what comes later than that counts as of now.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.evaluate.cell import FIRING, REST
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.points import Points, segments
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Change, Panes
from tocsin.schemas.kinds import Member
from tocsin.schemas.signal import Evidence, Signal

_BEFORE_ALL: Final = (-1, 0, 0)
_REMEMBERED_MS: Final = 3_600_000  # longer than any replay after a crash
_Packed = tuple[
    dict[int, tuple[dict[str, set[str]], dict[str, set[str]], dict[str, bool]]],
    list[Change],
    dict[str, tuple[int, int, int]],
]


@dataclass(slots=True)
class _Group:
    """By member's rule: its alerts that fire, and those that have no data."""

    firing: dict[str, set[str]] = field(default_factory=dict)
    no_data: dict[str, set[str]] = field(default_factory=dict)
    truth: dict[str, bool] = field(default_factory=dict)

    def active(self) -> list[set[str]]:
        """Alerts that are not at rest."""
        return [*self.firing.values(), *self.no_data.values()]


class CompositeGroups(GroupLane):
    """Changes wait for the watermark; `_state` is by slot."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        self.group = spec
        super().__init__(spec, judged, series, {})
        self._state: dict[int, _Group] = {}
        self._waiting: list[Change] = []
        self._orders: dict[str, tuple[int, int, int]] = {}  # by alert, of the last change that was taken

    def take_change(self, change: Change) -> None:
        """A member's alert began or ended."""
        if change.order > self._orders.get(change.fingerprint, _BEFORE_ALL):
            self._orders[change.fingerprint] = change.order
            self._waiting.append(change)

    def take_panes(self, part: int, panes: Panes, listened_ms: int, out: list[Signal]) -> None:
        """A composite has no shares."""
        raise AssertionError("nothing is gathered for a composite")

    def advance(self, watermark_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        due = sorted(
            (change for change in self._waiting if change.at_ms <= watermark_ms),
            key=lambda change: (change.at_ms, change.key, change.rule_id, change.fingerprint, change.order),
        )
        self._waiting = [change for change in self._waiting if change.at_ms > watermark_ms]
        found: dict[tuple[int, int], float] = {}
        for change in due:
            slot = int(self.slots_of([change.key], np.array([change.at_ms]), 0)[0])
            self._apply(self._state.setdefault(slot, _Group()), change)
            at_ms = max(change.at_ms, int(self.columns["judged"][slot]))
            self.columns["judged"][slot] = at_ms
            found[slot, at_ms] = float(self._holds(self._state[slot]))
        found |= self._as_time_goes_on(watermark_ms, {slot for slot, _ in found})
        if found:
            self._judge_points(found, out)

    def _as_time_goes_on(self, watermark_ms: int, changed: set[int]) -> dict[tuple[int, int], float]:
        """Groups that wait for their hold, or to end: nothing else would tell them that time has passed."""
        found = {}
        for slot in self.occupied().tolist():
            states = {state for judge in self.judges.values() for state in judge.columns["state"][slot].tolist()}
            if slot not in changed and states - {REST, FIRING} and watermark_ms > self.columns["judged"][slot]:
                self.columns["judged"][slot] = watermark_ms
                found[slot, watermark_ms] = float(self._holds(self._state[slot]))
        return found

    def _judge_points(self, found: dict[tuple[int, int], float], out: list[Signal]) -> None:
        places = sorted(found)
        slots, at_ms = (np.array(column, np.int64) for column in zip(*places, strict=True))
        values = np.array([found[place] for place in places])
        begins = segments(slots)
        points = Points(slots[begins[:-1]], begins, at_ms, values, self._evidence(slots, at_ms))
        self.judge_all({"last": points}, out)
        self.columns.touch(slots)

    def _evidence(self, slots: Ints, at_ms: Ints) -> Any:
        def evidence(index: int) -> Evidence:
            group = self._state[int(slots[index])]
            facts = {member.rule: float(group.truth.get(member.rule, False)) for member in self.group.members}
            at = int(at_ms[index])
            return Evidence(metric="", window=(at, at), samples=0, facts=facts)

        return evidence

    def _apply(self, group: _Group, change: Change) -> None:
        firing = group.firing.setdefault(change.rule_id, set())
        no_data = group.no_data.setdefault(change.rule_id, set())
        firing.discard(change.fingerprint)
        no_data.discard(change.fingerprint)
        if change.state == "firing":
            firing.add(change.fingerprint)
        elif change.state == "no data":
            no_data.add(change.fingerprint)

    def _holds(self, group: _Group) -> bool:
        holding = [self._member_holds(group, member) is not member.negate for member in self.group.members]
        if self.group.combine == "all":
            return all(holding)
        return any(holding) if self.group.combine == "any" else sum(holding) >= int(self.group.combine)

    def _member_holds(self, group: _Group, member: Member) -> bool:
        """Firing, or without data as the composite's policy for this member says."""
        if group.firing.get(member.rule):
            found = True
        elif group.no_data.get(member.rule):
            found = group.truth.get(member.rule, False) if member.on_no_data == "keep" else member.on_no_data == "alert"
        else:
            found = False
        group.truth[member.rule] = found
        return found

    def dismiss(self, number: int) -> None:
        """See Lane."""
        self._state.pop(self.slot_of(number), None)
        super().dismiss(number)

    def is_at_rest(self, number: int) -> bool:
        """See Lane."""
        group = self._state.get(self.slot_of(number))
        return not (group and any(group.active())) and super().is_at_rest(number)

    def pack_whole(self) -> bytes:
        """See Lane."""
        state = {
            slot: (
                {rule: sorted(found) for rule, found in group.firing.items() if found},
                {rule: sorted(found) for rule, found in group.no_data.items() if found},
                group.truth,
            )
            for slot, group in sorted(self._state.items())
        }
        return msgspec.msgpack.encode((state, self._waiting, self._orders))

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        state, self._waiting, self._orders = msgspec.msgpack.decode(value, type=_Packed)
        self._state = {slot: _Group(*fields) for slot, fields in state.items()}

    def prune(self) -> None:
        """See Lane; what an alert at rest said long ago will not be said again."""
        super().prune()
        active = {one for group in self._state.values() for alerts in group.active() for one in alerts}
        until = max((order[1] for order in self._orders.values()), default=0) - _REMEMBERED_MS
        self._orders = {one: order for one, order in self._orders.items() if one in active or order[1] >= until}
