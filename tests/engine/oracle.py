"""A slow and obvious model of evaluate: one series, one rule, every value in its order."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.schemas.rule import Rule

COMPARE = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What a signal must say. Times in milliseconds."""

    kind: str
    since_ms: int
    at_ms: int
    value: float
    samples: int


def verdicts(rule: Rule, samples: Sequence[tuple[int, float]]) -> list[Verdict]:
    """All signals of one series whose samples (time, value) are in order of time, and which then falls silent."""
    values = windowed(rule, samples) if rule.window else [(at_ms, value, 1) for at_ms, value in samples]
    found: list[Verdict] = []
    state, since_ms, fired_ms = "rest", 0, -(10**15)
    assert rule.threshold is not None
    for at_ms, value, count in values:
        holds = COMPARE[rule.operator](value, rule.threshold)
        recovery = rule.threshold if rule.recovery_threshold is None else rule.recovery_threshold
        still = COMPARE[rule.operator](value, recovery)
        if state == "firing":
            if not still:
                found.append(Verdict("ended", since_ms, at_ms, value, count))
                state = "rest"
            continue
        if not holds:
            if state == "pending":
                found.append(Verdict("ended", since_ms, at_ms, value, count))
                state = "rest"
            continue
        if state == "rest":
            since_ms = at_ms
        if at_ms - since_ms >= rule.duration and at_ms - fired_ms >= rule.cooldown:
            found.append(Verdict("firing", since_ms, at_ms, value, count))
            state, fired_ms = "firing", at_ms
        elif state == "rest":
            found.append(Verdict("pending", since_ms, at_ms, value, count))
            state = "pending"
    return found


def windowed(rule: Rule, samples: Sequence[tuple[int, float]]) -> list[tuple[int, float, int]]:
    """(end, aggregate, samples) of every window that holds a sample."""
    assert rule.window is not None
    size, hop = rule.window.length_ms, rule.window.hop_ms
    if not samples:
        return []
    found = []
    end = samples[0][0] // hop * hop + hop
    while end - size <= samples[-1][0]:
        inside = [value for at_ms, value in samples if end - size <= at_ms < end]
        if inside:
            found.append((end, aggregate(rule.aggregate, inside), len(inside)))
        end += hop
    return found


def aggregate(name: str, values: list[float]) -> float:
    """By its definition."""
    if name == "avg":
        return sum(values) / len(values)
    if name == "sum":
        return sum(values)
    if name == "count":
        return float(len(values))
    if name == "last":
        return values[-1]
    return min(values) if name == "min" else max(values)
