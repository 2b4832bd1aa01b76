"""The state machine of one rule on one series: each level rests, waits, fires, or keeps firing; the worst one shows."""

from collections.abc import Sequence
from typing import Final

import msgspec

from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import SignalKind

REST, PENDING, FIRING, KEEPING, NO_DATA = 0, 1, 2, 3, 4
NEVER: Final = -(2**62)
NONE: Final = -1


class Cell(msgspec.Struct, array_like=True):
    """What is kept of one series and one rule that is not at rest, or was not a moment ago.

    `since` and `due` are by level: when its condition began, and when it may fire, or stop firing. `cool_ms` is when
    the last firing's cooldown is over, by the rule as it was then, and `fired_level` its level. `order_at` and
    `order_number` count signals.
    """

    fingerprint: str
    since: list[int]
    due: list[int]
    cool_ms: int = NEVER
    fired_level: int = NONE
    order_at: int = NEVER
    order_number: int = 0
    value: float = 0.0


def new_cell(fingerprint: str, rule: Rule) -> Cell:
    """A cell of a rule that has never begun."""
    levels = len(rule.steps)
    return Cell(fingerprint, [0] * levels, [0] * levels)


def advanced(cell: Cell, rule: Rule, level: int, states: Sequence[int], begins: bool, ends: bool, at_ms: int) -> int:
    """The state of one level after a value that meets its condition (`begins`) or would end its alert (`ends`);
    `states` are those of all levels before it."""
    state = states[level]
    if state >= FIRING:  # by a value or by silence: what fires ends in one way
        if not ends:
            return FIRING
        if state != KEEPING:
            cell.due[level] = at_ms + rule.keep_firing_for
        return KEEPING if at_ms < cell.due[level] else REST
    if not begins:
        return REST
    if state == REST:
        cell.since[level] = at_ms
        cell.due[level] = due_ms(cell, rule, level, states)
    return FIRING if at_ms >= cell.due[level] else PENDING


def due_ms(cell: Cell, rule: Rule, level: int, states: Sequence[int]) -> int:
    """When a level that began may fire: after its hold, and after the cooldown unless it is worse than last time. An
    alert that fires already may reach other levels at any time: the cooldown is between alerts."""
    held_ms = cell.since[level] + rule.hold_ms(level)
    if level > cell.fired_level or shown(states) != NONE:
        return held_ms
    return max(held_ms, cell.cool_ms)


def wait_anew(cell: Cell, rule: Rule, states: Sequence[int]) -> None:
    """Levels that wait do so as the rule, and the alert's state, are now."""
    for level, state in enumerate(states):
        if state == PENDING:
            cell.due[level] = due_ms(cell, rule, level, states)


def shown(states: Sequence[int]) -> int:
    """The worst level that fires; NONE if none does."""
    for level in range(len(states) - 1, -1, -1):
        if states[level] >= FIRING:
            return level
    return NONE


def is_waiting(states: Sequence[int]) -> bool:
    """Whether some level waits for its hold."""
    return PENDING in states


def transitions(before: Sequence[int], after: Sequence[int]) -> tuple[SignalKind, ...]:
    """What is to be said when the levels' states change."""
    was, now = shown(before), shown(after)
    if was == now:
        if now != NONE:
            return ("changed",) if (before[was] == NO_DATA) is not (after[now] == NO_DATA) else ()
        if is_waiting(before) == is_waiting(after):
            return ()
        return ("pending",) if is_waiting(after) else ("ended",)
    if was == NONE:
        return ("firing",)
    if now != NONE:
        return ("changed",)
    return ("ended", "pending") if is_waiting(after) else ("ended",)


def since_ms(cell: Cell, states: Sequence[int]) -> int:
    """When the condition began: the earliest among levels that are not at rest."""
    return min(cell.since[level] for level, state in enumerate(states) if state != REST)
