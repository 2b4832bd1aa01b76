"""What a rule looks at: every sample, or an aggregation of each of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.oracle.aggregates import Samples, aggregate

from tocsin.schemas.rule import Rule


@dataclass(frozen=True)
class Value:
    """A value that is judged as of a time; `samples` went into it."""

    at_ms: int
    value: float
    samples: int


def values_of(rule: Rule, samples: Samples) -> list[Value]:
    """All values that a series gives, which falls silent after its last sample."""
    if rule.window is None:
        return [Value(at_ms, value, 1) for at_ms, value in samples]
    found = []
    for at_ms, begin_ms, end_ms, inside in _windows(rule, samples):
        if rule.require_full_window and rule.window.type not in ("session", "count") and samples[0][0] > begin_ms:
            continue
        answer = aggregate(rule.aggregate, inside, begin_ms, end_ms)
        if answer is not None:
            found.append(Value(at_ms, answer, len(inside)))
    return found


def _windows(rule: Rule, samples: Samples) -> Iterator[tuple[int, int, int, Samples]]:
    """(when it is judged, begin, end, samples) of every window that holds a sample."""
    assert rule.window is not None
    if not samples:
        return iter(())
    window = rule.window
    if window.type in ("tumbling", "hopping"):
        return _aligned(window.length_ms, window.hop_ms, samples)
    if window.type == "sliding":
        return _sliding(window.length_ms, samples)
    if window.type == "session":
        return _sessions(window.length_ms, samples)
    assert window.samples
    return _counted(window.samples, samples)


def _aligned(size: int, hop: int, samples: Samples) -> Iterator[tuple[int, int, int, Samples]]:
    end = samples[0][0] // hop * hop + hop
    while end - size <= samples[-1][0]:
        inside = [one for one in samples if end - size <= one[0] < end]
        if inside:
            yield end, end - size, end, inside
        end += hop


def _sliding(size: int, samples: Samples) -> Iterator[tuple[int, int, int, Samples]]:
    for index, (at_ms, _) in enumerate(samples):
        yield at_ms, at_ms - size, at_ms, [one for one in samples[: index + 1] if one[0] > at_ms - size]


def _sessions(gap: int, samples: Samples) -> Iterator[tuple[int, int, int, Samples]]:
    session: list[tuple[int, float]] = []
    for one in [*samples, None]:
        if session and (one is None or one[0] - session[-1][0] > gap):
            yield session[-1][0] + gap, session[0][0], session[-1][0], session
            session = []
        if one is not None:
            session.append(one)


def _counted(wanted: int, samples: Samples) -> Iterator[tuple[int, int, int, Samples]]:
    for begin in range(0, len(samples) - wanted + 1, wanted):
        inside = samples[begin : begin + wanted]
        yield inside[-1][0], inside[0][0], inside[-1][0], inside


def last_end_ms(rule: Rule, at_ms: int) -> int:
    """When the last window that holds a sample of this time is over."""
    window = rule.window
    if window is None or window.type in ("sliding", "count"):
        return at_ms
    if window.type == "session":
        return at_ms + window.length_ms + 1
    return at_ms // window.hop_ms * window.hop_ms + window.length_ms
