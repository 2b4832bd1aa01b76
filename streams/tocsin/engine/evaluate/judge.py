"""Judging: values of series against rules, and what follows from them (pending, firing, changed, ended).

A vector comparison per level finds the few series for which something may change; only these are gone through value by
value. The outcome is that of going through all values of all series one by one, in order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec.structs import replace

from tocsin.engine.evaluate.cell import (
    FIRING,
    KEEPING,
    NO_DATA,
    PENDING,
    REST,
    Cell,
    advanced,
    new_cell,
    shown,
    since_ms,
    transitions,
    wait_anew,
)
from tocsin.engine.evaluate.cells import Cells
from tocsin.engine.evaluate.columns import Columns
from tocsin.engine.evaluate.condition import Condition, Flags
from tocsin.engine.evaluate.conditions import CONDITIONS
from tocsin.engine.evaluate.fingerprints import fingerprints
from tocsin.engine.evaluate.points import Points
from tocsin.engine.frame import Floats, Ints
from tocsin.schemas.kinds import Level
from tocsin.schemas.labels import alert_fingerprint, alert_text, marked
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal, SignalKind


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A rule as of one offset of the rules topic; `epoch` is the offset since which its state has been kept."""

    rule: Rule
    revision: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Subject:
    """The series behind a slot, as a signal shows it."""

    labels: dict[str, str]
    unit: str | None


NEVER_MS: Final = 2**61
_MANY: Final = 16  # alerts to name at once
Describe = Callable[[int], Subject]


class _Subjects:
    """What describes slots, asked once for alerts of one slot that follow each other."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._last: tuple[int, Subject] | None = None

    def __call__(self, slot: int) -> Subject:
        if self._last is None or self._last[0] != slot:
            self._last = slot, self._describe(slot)
        return self._last[1]


@dataclass(frozen=True, slots=True)
class Silence:
    """Slots from which nothing came since `latest_ms`, as of `now_ms`; what did was judged up to `judged_ms`."""

    slots: Ints
    latest_ms: Ints
    judged_ms: Ints
    now_ms: Ints


class Judge:
    """Rules that look at the same value of the same series, with their state: slots x columns, a column each level."""

    def __init__(self, versions: list[RuleVersion]) -> None:
        ranked = sorted(((*_kind(version.rule), version.rule.id), place) for place, version in enumerate(versions))
        self.versions = [versions[place] for _, place in ranked]
        kinds = [kind[:2] for kind, _ in ranked]
        steps = [version.rule.steps for version in self.versions]
        starts = np.cumsum([0, *map(len, steps)]).tolist()
        self._columns = [slice(begin, end) for begin, end in pairwise(starts)]
        self._owner = np.repeat(np.arange(len(self.versions)), np.diff(starts))
        self._groups = list(self._grouped(steps, kinds))
        self._conditions = [(group, i) for where, group in self._groups for i in range(where.stop - where.start)]
        self.columns = Columns({"state": ("u1", starts[-1], REST), "due": ("i8", starts[-1], 0)})
        self.cells = Cells([len(own) for own in steps])

    def _grouped(
        self, steps: Sequence[tuple[Level, ...]], kinds: Sequence[tuple[str, ...]]
    ) -> Iterator[tuple[slice, Condition]]:
        begin = 0
        for end in range(1, len(self.versions) + 1):
            if end < len(kinds) and kinds[end] == kinds[begin]:
                continue
            rules = [version.rule for version in self.versions[begin:end]]
            levels = [(rule, level) for rule, own in zip(rules, steps[begin:end], strict=True) for level in own]
            yield (
                slice(self._columns[begin].start, self._columns[end - 1].stop),
                CONDITIONS[rules[0].judged_as](levels),
            )
            begin = end

    def judge(self, points: Points, describe: Describe, out: list[Signal]) -> None:
        """Go through values, adding signals to `out`."""
        if not len(points):
            return
        low = np.minimum.reduceat(points.values, points.begins[:-1])
        high = np.maximum.reduceat(points.values, points.begins[:-1])
        last_ms = points.at_ms[points.begins[1:] - 1]
        for where, condition in self._groups:
            looks = self._looks(points.slots, where, condition, low, high, last_ms)
            rows, columns = np.nonzero(looks)
            owners = self._owner[columns + where.start]
            found = dict.fromkeys(zip(rows.tolist(), owners.tolist(), strict=True))  # each once, in order
            subjects = _Subjects(describe)
            names = self._names(points.slots, found, describe) if len(found) >= _MANY else {}
            for row, owner in found:
                self._walk(points, row, owner, names, subjects, out)

    def _names(self, slots: Ints, found: Iterable[tuple[int, int]], describe: Describe) -> dict[tuple[int, int], str]:
        """Fingerprints of alerts that have no cell yet, by row and rule."""
        subjects = _Subjects(describe)
        new = [(row, owner) for row, owner in found if not self.cells.has(int(slots[row]), owner)]
        rules = [self.versions[owner].rule.id for _, owner in new]
        labels = [subjects(int(slots[row])).labels for row, _ in new]
        names = fingerprints([alert_text(*one) for one in zip(rules, labels, strict=True)])
        return {key: marked(rule_id, name) for key, rule_id, name in zip(new, rules, names, strict=True)}

    def _looks(
        self, slots: Ints, where: slice, condition: Condition, low: Floats, high: Floats, last_ms: Ints
    ) -> Flags:
        """Slots x columns of a group: where something may change."""
        state = self.columns["state"][slots, where]
        looks = (state == REST) & condition.may_begin(low, high)
        if state.any():
            due = last_ms[:, None] >= self.columns["due"][slots, where]
            looks |= (state == PENDING) & (due | condition.may_fail(low, high))
            looks |= (state == FIRING) & condition.may_end(low, high)
            looks |= state >= KEEPING
        return np.asarray(looks)

    def _walk(
        self,
        points: Points,
        row: int,
        owner: int,
        names: Mapping[tuple[int, int], str],
        describe: Describe,
        out: list[Signal],
    ) -> None:
        slot, rule = int(points.slots[row]), self.versions[owner].rule
        columns = self._columns[owner]
        conditions = self._conditions[columns]
        states: list[int] = self.columns["state"][slot, columns].tolist()
        cell = self.cells.get(slot, owner)
        for index in range(int(points.begins[row]), int(points.begins[row + 1])):
            value, at_ms = float(points.values[index]), int(points.at_ms[index])
            begins = [condition.begins(place, value) for condition, place in conditions]
            if cell is None:
                if not any(begins):
                    continue
                name = names.get((row, owner)) or alert_fingerprint(rule.id, describe(slot).labels)
                cell = new_cell(name, rule)
            ends = [condition.ends(place, value) for condition, place in conditions]
            before, states = (
                states,
                [
                    advanced(cell, rule, level, states, begins[level], ends[level], at_ms)
                    for level in range(len(states))
                ],
            )
            for kind in transitions(before, states):
                subject, evidence = describe(slot), _evidence(points, index, rule.steps[max(shown(states), 0)])
                out.append(self._signal(cell, owner, kind, (before, states), at_ms, value, subject, evidence))
            if states != before:
                wait_anew(cell, rule, states)
        self._keep(slot, owner, states, cell)

    def _keep(self, slot: int, owner: int, states: list[int], cell: Cell | None) -> None:
        if cell is None:
            return
        columns = self._columns[owner]
        self.columns["state"][slot, columns] = states
        self.columns["due"][slot, columns] = cell.due
        self.cells.put(slot, owner, cell)
        self.columns.touch_row(slot)

    def _signal(
        self,
        cell: Cell,
        owner: int,
        kind: SignalKind,
        states: tuple[list[int], list[int]],
        at_ms: int,
        value: float,
        subject: Subject,
        evidence: Evidence,
        reason: str = "condition",
    ) -> Signal:
        version, (before, after) = self.versions[owner], states
        level = shown(before if kind == "ended" else after)
        if kind == "firing":
            cell.cool_ms = at_ms + version.rule.cooldown
        if kind in ("firing", "changed"):
            cell.fired_level = level if kind == "firing" else max(level, cell.fired_level)
        # What is said later counts as later, even if it is about an earlier time.
        order_at = max(at_ms, cell.order_at)
        cell.order_number = cell.order_number + 1 if order_at == cell.order_at else 0
        cell.order_at, cell.value = order_at, value
        return Signal(
            fingerprint=cell.fingerprint,
            kind=kind,
            rule_id=version.rule.id,
            revision=version.revision,
            order=(version.epoch, order_at, cell.order_number),
            since_ms=since_ms(cell, before if kind == "ended" else after),
            at_ms=at_ms,
            labels=subject.labels,
            value=value,
            evidence=evidence,
            unit=subject.unit,
            reason=reason,
            level=max(level, 0),
        )

    def stop(self, owner: int, at_ms: int, reason: str, describe: Describe, out: list[Signal]) -> None:
        """End whatever one rule has pending or firing, because the rule itself is gone or another."""
        columns = self.columns["state"][: self.columns.count, self._columns[owner]]
        for slot in np.flatnonzero((columns != REST).any(axis=1)).tolist():
            self._end(slot, owner, at_ms, reason, describe, out)

    def _end(self, slot: int, owner: int, at_ms: int, reason: str, describe: Describe, out: list[Signal]) -> None:
        version, cell = self.versions[owner], self.cells.get(slot, owner)
        assert cell is not None, "what waits or fires has a cell"
        before: list[int] = self.columns["state"][slot, self._columns[owner]].tolist()
        after = [REST] * len(before)
        at_ms = max(at_ms, cell.order_at)
        evidence = Evidence(metric=version.rule.metric_type, window=(since_ms(cell, before), at_ms), samples=0)
        out.append(
            self._signal(cell, owner, "ended", (before, after), at_ms, cell.value, describe(slot), evidence, reason)
        )
        self._keep(slot, owner, after, cell)

    def silent(self, silence: Silence, describe: Describe, out: list[Signal]) -> None:
        """Series from which nothing has come for a while: what each rule's policy makes of it.

        An alert that fires already goes on as it is: silence neither ends it nor makes it another.
        """
        slots, latest_ms = silence.slots, silence.latest_ms
        for owner, version in enumerate(self.versions):
            rule = version.rule
            if rule.on_no_data == "keep":
                continue
            due_ms = np.maximum(latest_ms + rule.no_data_after, silence.judged_ms)
            chosen = np.flatnonzero(silence.now_ms >= due_ms)
            if not len(chosen):
                continue
            states = self.columns["state"][slots[chosen], self._columns[owner]]
            wanted = ~(states >= FIRING).any(axis=1) if rule.on_no_data == "alert" else (states != REST).any(axis=1)
            for index in chosen[wanted].tolist():
                slot, at_ms = int(slots[index]), int(due_ms[index])
                if rule.on_no_data == "ok":
                    self._end(slot, owner, at_ms, "no data", describe, out)
                else:
                    self._no_data(slot, owner, int(latest_ms[index]), at_ms, describe, out)

    def _no_data(
        self, slot: int, owner: int, latest_ms: int, at_ms: int, describe: Describe, out: list[Signal]
    ) -> None:
        rule = self.versions[owner].rule
        cell = self.cells.get(slot, owner) or new_cell(alert_fingerprint(rule.id, describe(slot).labels), rule)
        before: list[int] = self.columns["state"][slot, self._columns[owner]].tolist()
        after = [NO_DATA, *(REST for _ in before[1:])]
        if before[0] == REST:
            cell.since[0] = latest_ms
        # A cell at rest may have been pruned: what it last said must not show.
        value = cell.value if PENDING in before else 0.0
        for kind in transitions(before, after):
            evidence = Evidence(metric=rule.metric_type, window=(latest_ms, at_ms), samples=0)
            out.append(
                self._signal(cell, owner, kind, (before, after), at_ms, value, describe(slot), evidence, "no data")
            )
        self._keep(slot, owner, after, cell)

    def inherit(self, old: "Judge") -> None:
        """Take over the state of rules that are in both, and go on; a changed duration counts from now on, a changed
        cooldown from the next firing on. The old judge is no more."""
        places = {(version.rule.id, version.epoch): owner for owner, version in enumerate(old.versions)}
        kept = [(places.get((version.rule.id, version.epoch)), owner) for owner, version in enumerate(self.versions)]
        moved = {source: owner for source, owner in kept if source is not None}
        if self.is_laid_out_as(old):
            self.columns, self.cells = old.columns, old.cells
        else:
            self._move(old, moved)
        changed = {
            owner for source, owner in moved.items() if self.versions[owner].revision != old.versions[source].revision
        }
        for owner in sorted(changed):
            self._wait_anew(owner)

    def _wait_anew(self, owner: int) -> None:
        states = self.columns["state"][: self.columns.count, self._columns[owner]]
        for slot in np.flatnonzero((states == PENDING).any(axis=1)).tolist():
            cell = self.cells.get(slot, owner)
            assert cell is not None, "what waits has a cell"
            wait_anew(cell, self.versions[owner].rule, states[slot].tolist())
            self._keep(slot, owner, states[slot].tolist(), cell)

    def _move(self, old: "Judge", moved: dict[int, int]) -> None:
        """Copy the state of rules, by their places there and here."""
        self.columns.add(old.columns.count)
        rows = slice(old.columns.count)
        for source, owner in moved.items():
            for name in ("state", "due"):
                self.columns[name][rows, self._columns[owner]] = old.columns[name][rows, old.columns_of(source)]
        self.cells = old.cells.moved(moved, [len(version.rule.steps) for version in self.versions])

    def is_laid_out_as(self, other: "Judge") -> bool:
        """Whether the same rules have the same columns, so that what was saved of one can be read by the other."""
        rules = [[(version.rule.id, version.epoch) for version in judge.versions] for judge in (self, other)]
        return rules[0] == rules[1] and all(
            columns == other.columns_of(owner) for owner, columns in enumerate(self._columns)
        )

    def columns_of(self, owner: int) -> slice:
        """The columns of one rule."""
        return self._columns[owner]

    def waits_ms(self, slots: Ints) -> Ints:
        """When the first level that waits may fire, by slot; never where none does."""
        waits = self.columns["state"][slots] == PENDING
        return np.asarray(np.where(waits, self.columns["due"][slots], NEVER_MS).min(axis=1))

    def is_at_rest(self, slot: int) -> bool:
        """Whether no rule has anything pending or firing on a slot."""
        return not self.columns["state"][slot].any()

    def renew(self, slot: int) -> None:
        """A slot becomes another series'."""
        self.columns.renew(slot)
        self.cells.drop_slot(slot)

    def prune(self, last_ms: Ints) -> None:
        """Forget cells at rest whose past can no longer matter; `last_ms` is each slot's latest judged time."""
        if not len(self.cells):
            return
        begins = [columns.start for columns in self._columns]
        busy = np.logical_or.reduceat(self.columns["state"] != REST, begins, axis=1)  # slots x rules
        slots, owners, until_ms = self.cells.pasts()
        past = ~busy[slots, owners] & (until_ms < last_ms[slots])
        self.cells.drop(slots[past], owners[past])


def _evidence(points: Points, index: int, step: Level) -> Evidence:
    """What a value rests on; of a forecast also when it will be at the threshold."""
    evidence = points.evidence(index)
    if points.reach is None or step.threshold is None:
        return evidence
    breach_s = points.reach(index, step.threshold)
    return evidence if breach_s is None else replace(evidence, facts=evidence.facts | {"breach_in_s": breach_s})


def _kind(rule: Rule) -> tuple[str, str]:
    return rule.judged_as, CONDITIONS[rule.judged_as].form(rule)
