"""Composites: a condition over whether other rules fire, for series that share some labels.

Members' alerts that have the composite's labels (`group_by`) in common belong together; a member holds while any of its
alerts of the group fires. What members begin and end is applied in order of event time, once all partitions have been
read up to it and the composite's lateness beyond; what comes later than that counts as of the latest time that was
looked at. Time goes on in between: a hold runs out when it is over, not when somebody looks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.evaluate.cell import KEEPING, PENDING
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.points import Points
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.partial import Change, Panes
from tocsin.schemas.kinds import Member
from tocsin.schemas.signal import Evidence, Signal

_BEFORE_ALL: Final = (-1, 0, 0)
_NEVER: Final = 2**62
_REMEMBERED_MS: Final = 3_600_000
_Order = tuple[int, int, int]
_Moments = list[tuple[int, list[Change]]]  # of one group: times, and what changed then


@dataclass(slots=True)
class _Group:
    """By member's rule: its alerts that fire, those that have no data, and whether it held when last looked at."""

    firing: dict[str, set[str]] = field(default_factory=dict)
    no_data: dict[str, set[str]] = field(default_factory=dict)
    truth: dict[str, bool] = field(default_factory=dict)

    def active(self) -> set[str]:
        """Alerts that are not at rest."""
        return set().union(*self.firing.values(), *self.no_data.values())

    def apply(self, change: Change) -> None:
        """A member's alert is in another state."""
        firing = self.firing.setdefault(change.rule_id, set())
        no_data = self.no_data.setdefault(change.rule_id, set())
        firing.discard(change.fingerprint)
        no_data.discard(change.fingerprint)
        if change.state == "firing":
            firing.add(change.fingerprint)
        elif change.state == "no data":
            no_data.add(change.fingerprint)

    def member_holds(self, member: Member) -> bool:
        """Firing, or without data as the composite's policy for this member says."""
        if self.firing.get(member.rule):
            found = True
        elif self.no_data.get(member.rule):
            found = self.truth.get(member.rule, False) if member.on_no_data == "keep" else member.on_no_data == "alert"
        else:
            found = False
        self.truth[member.rule] = found
        return found


class CompositeGroups(GroupLane):
    """Changes wait for the watermark; `_groups` is by slot. Of each alert the last change that was heard of is known,
    and the last that was applied."""

    def __init__(self, spec: GroupSpec, judged: Judged, series: SeriesTable) -> None:
        super().__init__(spec, judged, series, {})
        self._groups: dict[int, _Group] = {}
        self._waiting: list[Change] = []
        self._heard: dict[str, _Order] = {}
        self._applied: dict[str, _Order] = {}

    def take_change(self, change: Change) -> None:
        """A member's alert began or ended."""
        if change.order > self._heard.get(change.fingerprint, _BEFORE_ALL):
            self._heard[change.fingerprint] = change.order
            self._waiting.append(change)

    def take_panes(self, part: int, panes: Panes, listened_ms: int) -> None:
        """A composite has no shares."""
        raise AssertionError("nothing is gathered for a composite")

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """See Lane. That members change nothing is no silence; what theirs means each member says."""

    def advance(self, watermark_ms: int, listened_ms: int, out: list[Signal]) -> None:
        """See GroupLane."""
        until_ms = watermark_ms - self.spec.lateness_ms
        moments = self._moments(until_ms, listened_ms)
        for turn in range(max(map(len, moments.values()), default=0)):
            now = {slot: found[turn] for slot, found in moments.items() if turn < len(found)}
            self._go_on({slot: at_ms - 1 for slot, (at_ms, _) in now.items()}, out)
            for slot, (_, changes) in now.items():
                self._apply(slot, changes)
            self._judge_at({slot: at_ms for slot, (at_ms, _) in now.items()}, out)
        self._go_on(dict.fromkeys(self.occupied().tolist(), until_ms), out)

    def _moments(self, until_ms: int, listened_ms: int) -> dict[int, _Moments]:
        """What is due, by slot and in order."""
        due = sorted(
            (change for change in self._waiting if change.at_ms <= until_ms),
            key=lambda change: (change.at_ms, change.rule_id, change.fingerprint, change.order),
        )
        if not due:
            return {}
        self._waiting = [change for change in self._waiting if change.at_ms > until_ms]
        slots = self.slots_of([change.key for change in due])
        self.saw(slots, np.array([change.at_ms for change in due]), listened_ms)
        found: dict[int, _Moments] = {}
        for slot, change in zip(slots.tolist(), due, strict=True):
            moments = found.setdefault(slot, [])
            at_ms = max(change.at_ms, int(self.columns["judged"][slot]))
            if not moments or moments[-1][0] < at_ms:
                moments.append((at_ms, []))
            moments[-1][1].append(change)
        return found

    def _apply(self, slot: int, changes: list[Change]) -> None:
        group = self._groups.setdefault(slot, _Group())
        for change in changes:
            if change.order > self._applied.get(change.fingerprint, _BEFORE_ALL):
                self._applied[change.fingerprint] = change.order
                group.apply(change)

    def _go_on(self, until_ms: Mapping[int, int], out: list[Signal]) -> None:
        """Time goes on for some slots: holds run out on the way, and alerts that were kept end."""
        slots = np.array([slot for slot in until_ms if slot in self._groups], np.int64)
        limits = np.array([until_ms[slot] for slot in slots.tolist()], np.int64)
        while len(slots):
            due_ms = np.maximum(self._waits_ms(slots), self.columns["judged"][slots])
            over = due_ms <= limits
            slots, limits = slots[over], limits[over]
            self._judge_at(dict(zip(slots.tolist(), due_ms[over].tolist(), strict=True)), out)

    def _waits_ms(self, slots: Ints) -> Ints:
        """When the next hold of each slot is over."""
        found = np.full(len(slots), _NEVER, np.int64)
        for judge in self.judges.values():
            state = judge.columns["state"][slots]
            due_ms = np.where((state == PENDING) | (state == KEEPING), judge.columns["due"][slots], _NEVER)
            found = np.minimum(found, due_ms.min(axis=1, initial=_NEVER))
        return found

    def _judge_at(self, at_ms: Mapping[int, int], out: list[Signal]) -> None:
        """Judge each slot as it is, at its time."""
        if not at_ms:
            return
        slots = np.array(sorted(at_ms), np.int64)
        times = np.array([at_ms[slot] for slot in slots.tolist()], np.int64)
        values = np.array([float(self._holds(self._groups[slot])) for slot in slots.tolist()])
        self.columns["judged"][slots] = times
        self.columns.touch(slots)
        self.judge_all({"last": Points.one_each(slots, times, values, self._evidence(slots, times))}, out)

    def _evidence(self, slots: Ints, at_ms: Ints) -> Callable[[int], Evidence]:
        def evidence(index: int) -> Evidence:
            group, at = self._groups[int(slots[index])], int(at_ms[index])
            facts = {member.rule: float(group.truth[member.rule]) for member in self.spec.members}
            return Evidence(metric="", window=(at, at), samples=0, facts=facts)

        return evidence

    def _holds(self, group: _Group) -> bool:
        holding = [group.member_holds(member) is not member.negate for member in self.spec.members]
        if self.spec.combine == "all":
            return all(holding)
        return any(holding) if self.spec.combine == "any" else sum(holding) >= int(self.spec.combine)

    def dismiss(self, number: int) -> None:
        """See Lane."""
        self._groups.pop(self.slot_of(number), None)
        super().dismiss(number)

    def is_at_rest(self, number: int) -> bool:
        """See Lane."""
        group = self._groups.get(self.slot_of(number))
        return not (group and group.active()) and super().is_at_rest(number)

    def pack_whole(self) -> bytes:
        """See Lane."""
        groups = {
            slot: (
                {rule: sorted(found) for rule, found in group.firing.items() if found},
                {rule: sorted(found) for rule, found in group.no_data.items() if found},
                group.truth,
            )
            for slot, group in sorted(self._groups.items())
        }
        return msgspec.msgpack.encode((groups, self._waiting, self._heard, self._applied))

    def unpack_whole(self, value: bytes) -> None:
        """See Lane."""
        groups, self._waiting, self._heard, self._applied = msgspec.msgpack.decode(value, type=_Packed)
        self._groups = {slot: _Group(*fields) for slot, fields in groups.items()}

    def prune(self) -> None:
        """See Lane; what an alert at rest said long ago matters to nobody, and is not said again (see CombineState)."""
        super().prune()
        kept = {change.fingerprint for change in self._waiting}
        kept = kept.union(*(group.active() for group in self._groups.values()))
        until = max((order[1] for order in self._heard.values()), default=0) - _REMEMBERED_MS
        for orders in (self._heard, self._applied):
            for one in [one for one, order in orders.items() if order[1] < until and one not in kept]:
                del orders[one]


_Packed = tuple[
    dict[int, tuple[dict[str, set[str]], dict[str, set[str]], dict[str, bool]]],
    list[Change],
    dict[str, _Order],
    dict[str, _Order],
]
