"""Judging: values of series against rules, and what follows from them (pending, firing, ended).

A vector comparison per rule finds the few series for which something may change; only these are gone through value by
value. The outcome is that of going through all values of all series one by one, in order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.condition import Condition
from tocsin.engine.evaluate.conditions import CONDITIONS
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

REST, PENDING, FIRING = 0, 1, 2
_NEVER: Final = -(2**62)


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A rule as of one offset of the rules topic; `epoch` is the offset since which its state has been kept."""

    rule: Rule
    revision: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Points:
    """Values to judge, in order: of slot `slots[i]` those from `begins[i]` to `begins[i + 1]`."""

    slots: Ints
    begins: Ints
    at_ms: Ints
    values: Floats
    evidence: Callable[[int], Evidence]


@dataclass(frozen=True, slots=True)
class Subject:
    """The series behind a slot, as a signal shows it."""

    labels: dict[str, str]
    unit: str | None


class Cell(msgspec.Struct, array_like=True):
    """What is kept of one series and one rule that is not at rest, or was not a moment ago."""

    fingerprint: str
    since_ms: int = 0
    due_ms: int = 0
    fired_ms: int = _NEVER
    order_at: int = _NEVER
    order_number: int = 0
    value: float = 0.0


class Judge:
    """Rules that look at the same value of the same series, with their state: slots x rules."""

    def __init__(self, versions: list[RuleVersion]) -> None:
        self.versions = sorted(versions, key=lambda v: (v.rule.condition, v.rule.operator, v.rule.id))
        self._groups: list[tuple[slice, Condition]] = []
        begin = 0
        for end in range(1, len(self.versions) + 1):
            if end == len(self.versions) or self._kind(end) != self._kind(begin):
                rules = [version.rule for version in self.versions[begin:end]]
                self._groups.append((slice(begin, end), CONDITIONS[rules[0].condition](rules)))
                begin = end
        self._condition = [(group, i) for where, group in self._groups for i in range(where.stop - where.start)]
        self.columns = Columns({"state": ("u1", len(self.versions), REST), "due": ("i8", len(self.versions), 0)})
        self.cells: dict[tuple[int, int], Cell] = {}

    def _kind(self, column: int) -> tuple[str, str]:
        rule = self.versions[column].rule
        return rule.condition, rule.operator

    def judge(self, points: Points, describe: Callable[[int], Subject], out: list[Signal]) -> None:
        """Go through values, adding signals to `out`."""
        if not len(points.slots):
            return
        low = np.minimum.reduceat(points.values, points.begins[:-1])
        high = np.maximum.reduceat(points.values, points.begins[:-1])
        last_ms = points.at_ms[points.begins[1:] - 1]
        for where, condition in self._groups:
            state = self.columns["state"][points.slots, where]
            looks = (state == REST) & condition.may_begin(low, high)
            if state.any():
                due = last_ms[:, None] >= self.columns["due"][points.slots, where]
                looks |= (state == PENDING) & (due | condition.may_fail(low, high))
                looks |= (state == FIRING) & condition.may_end(low, high)
            for row, column in zip(*(axis.tolist() for axis in np.nonzero(looks)), strict=True):
                self._walk(points, row, where.start + column, describe, out)

    def _walk(
        self, points: Points, row: int, column: int, describe: Callable[[int], Subject], out: list[Signal]
    ) -> None:
        slot = int(points.slots[row])
        version = self.versions[column]
        condition, place = self._condition[column]
        state = int(self.columns["state"][slot, column])
        cell = self.cells.get((slot, column))
        for index in range(int(points.begins[row]), int(points.begins[row + 1])):
            value, at_ms = float(points.values[index]), int(points.at_ms[index])
            kinds: tuple[Any, ...] = ()
            if state == FIRING:
                if condition.ends(place, value):
                    state, kinds = REST, ("ended",)
            elif condition.begins(place, value):
                if cell is None:
                    cell = Cell(alert_fingerprint(version.rule.id, describe(slot).labels))
                state, kinds = _hold(cell, version.rule, state, at_ms)
            elif state == PENDING:
                state, kinds = REST, ("ended",)
            for kind in kinds:
                assert cell is not None
                out.append(_signal(cell, version, kind, at_ms, value, describe(slot), points.evidence(index)))
        self._keep(slot, column, state, cell)

    def _keep(self, slot: int, column: int, state: int, cell: Cell | None) -> None:
        self.columns["state"][slot, column] = state
        if cell is not None:
            self.columns["due"][slot, column] = cell.due_ms
            self.cells[slot, column] = cell
            self.columns.touch(np.array([slot]))

    def stop(self, column: int, at_ms: int, reason: str, describe: Callable[[int], Subject], out: list[Signal]) -> None:
        """End whatever one rule has pending or firing, because the rule itself is gone or another."""
        version = self.versions[column]
        active = np.flatnonzero(self.columns["state"][: self.columns.count, column] != REST)
        for slot in active.tolist():
            cell = self.cells[slot, column]
            evidence = Evidence(metric=version.rule.metric_type, window=(cell.since_ms, at_ms), samples=0)
            subject = describe(slot)
            out.append(_signal(cell, version, "ended", at_ms, cell.value, subject, evidence, reason))
            self._keep(slot, column, REST, cell)

    def inherit(self, old: "Judge") -> None:
        """Take over the state of rules that are in both; a changed duration or cooldown counts from now on."""
        places = {version.rule.id: column for column, version in enumerate(old.versions)}
        self.columns.add(old.columns.count)
        moved = {places[v.rule.id]: column for column, v in enumerate(self.versions) if v.rule.id in places}
        for source, column in moved.items():
            for name in ("state", "due"):
                self.columns[name][: old.columns.count, column] = old.columns[name][: old.columns.count, source]
        for (slot, source), cell in old.cells.items():
            if source in moved:
                column = moved[source]
                rule = self.versions[column].rule
                cell.due_ms = max(cell.since_ms + rule.duration, cell.fired_ms + rule.cooldown)
                self.columns["due"][slot, column] = cell.due_ms
                self.cells[slot, column] = cell

    def prune(self, last_ms: Ints) -> None:
        """Forget cells at rest whose past can no longer matter; `last_ms` is each slot's latest judged time."""
        for slot, column in list(self.cells):
            cell = self.cells[slot, column]
            at_rest = self.columns["state"][slot, column] == REST
            cold = cell.fired_ms + self.versions[column].rule.cooldown < last_ms[slot]
            if at_rest and cold and cell.order_at < last_ms[slot]:
                del self.cells[slot, column]


def _hold(cell: Cell, rule: Rule, state: int, at_ms: int) -> tuple[int, tuple[str, ...]]:
    """The condition holds at a time: wait, or fire when it has held and the last firing is far enough back."""
    kinds: tuple[str, ...] = ()
    if state == REST:
        cell.since_ms = at_ms
        cell.due_ms = max(at_ms + rule.duration, cell.fired_ms + rule.cooldown)
        if at_ms < cell.due_ms:
            return PENDING, ("pending",)
    if at_ms < cell.due_ms:
        return PENDING, kinds
    cell.fired_ms = at_ms
    return FIRING, ("firing",)


def _signal(
    cell: Cell,
    version: RuleVersion,
    kind: Any,
    at_ms: int,
    value: float,
    subject: Subject,
    evidence: Evidence,
    reason: str = "condition",
) -> Signal:
    cell.order_number = cell.order_number + 1 if at_ms == cell.order_at else 0
    cell.order_at, cell.value = at_ms, value
    return Signal(
        fingerprint=cell.fingerprint,
        kind=kind,
        rule_id=version.rule.id,
        revision=version.revision,
        order=(version.epoch, at_ms, cell.order_number),
        since_ms=cell.since_ms,
        at_ms=at_ms,
        labels=subject.labels,
        value=value,
        evidence=evidence,
        unit=subject.unit,
        reason=reason,
    )
