"""The chart of an alert: the samples of its series, as its rule judges them, what they are held against, and since
when that holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from tocsin.charts.model import Band, Chart, Floats, Ints, Panel, Span, Threshold
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.rule import operator_symbol

_IN_ITS_UNIT: Final = ("threshold", "range", "anomaly", "baseline")
_BEFORE_MS: Final = 15 * 60_000
_LONGEST_MS: Final = 6 * 3_600_000
_MOST_POINTS: Final = 240
_PERCENTILE: Final = re.compile(r"p(\d+(?:\.\d+)?)")
_FUNCTIONS: Final[dict[str, Callable[[Floats], float]]] = {
    "avg": lambda values: float(values.mean()),
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "first": lambda values: float(values[0]),
    "last": lambda values: float(values[-1]),
}


def chart_span(event: AlertEvent) -> tuple[int, int]:
    """Between which times (epoch ms) an alert is shown: as long again before it began, and at least 15 minutes."""
    begin_ms, end_ms = parse_instant(event.starts_at), parse_instant(event.ends_at or event.updated_at)
    before_ms = max(_BEFORE_MS, end_ms - begin_ms)
    return max(begin_ms - before_ms, end_ms - _LONGEST_MS), max(end_ms, begin_ms + 1)


def alert_chart(event: AlertEvent, at_ms: Ints, values: Floats, series: int = 1) -> Chart:
    """Samples of one series, or of the `series` of a group, in order of their times.

    What the rule holds against a threshold is made of them where they suffice for it: means, extremes and percentiles
    may be made of a part of the samples, counts and sums may not. Then the samples are shown without a threshold.
    """
    begin_ms, end_ms = chart_span(event)
    evidence = event.evidence or {}
    function = _function(event) if evidence.get("condition", "threshold") in _IN_ITS_UNIT else None
    if function is not None:
        at_ms, values = _judged(at_ms, values, function, *_window(event))
    labels = ", ".join(f"{name}={text}" for name, text in sorted(event.labels.items()) if name != "alertname")
    panel = Panel(
        title=f"{evidence.get('metric', '')}" + (f" {{{labels}}}" if labels else ""),
        subtitle=_subtitle(event, series, is_judged=function is not None),
        at_ms=at_ms,
        values=values,
        thresholds=_thresholds(event) if function is not None else (),
        bands=_bands(event) if function is not None else (),
        spans=(Span(max(parse_instant(event.starts_at), begin_ms), end_ms, event.severity),),
        unit=(event.unit or "") if function is not None else "",
    )
    return Chart(event.rule_name or event.rule_id, begin_ms, end_ms, (panel,))


def _function(event: AlertEvent) -> Callable[[Floats], float] | None:
    """How one value is made of several; None where a part of the samples cannot tell."""
    name = (event.evidence or {}).get("aggregation", "last")
    found = _PERCENTILE.fullmatch(name)
    if found:
        share = min(float(found[1]), 100.0)
        return lambda values: float(np.percentile(values, share))
    return _FUNCTIONS.get(name)


def _window(event: AlertEvent) -> tuple[int, int]:
    """How long a window of the rule is, and when one ended; zeros where it looks at each sample."""
    evidence = event.evidence or {}
    if "aggregation" not in evidence or "window" not in evidence:
        return 0, 0
    begin, end = map(parse_instant, evidence["window"])
    return max(end - begin, 0), end


def _judged(
    at_ms: Ints, values: Floats, function: Callable[[Floats], float], window_ms: int, end_ms: int
) -> tuple[Ints, Floats]:
    """A value for each window, or for as long a time as keeps the points few; samples that are few stay as they are.

    Windows lie so that the one that was judged is one of them; what came after it is not the whole of the next.
    """
    if not len(at_ms) or (not window_ms and len(at_ms) <= 4 * _MOST_POINTS):
        return at_ms, values
    length_ms = max(window_ms, -(-int(at_ms[-1] - at_ms[0] + 1) // _MOST_POINTS))
    bucket = (at_ms - end_ms) // length_ms
    if window_ms and bucket[0] < 0:
        at_ms, values, bucket = at_ms[bucket < 0], values[bucket < 0], bucket[bucket < 0]
    begins = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1, [len(at_ms)]))
    ranges = list(zip(begins[:-1].tolist(), begins[1:].tolist(), strict=True))
    ends = (bucket[begins[:-1]] + 1) * length_ms + end_ms
    if not window_ms:
        ends = np.minimum(ends, at_ms[-1])
    return ends.astype(np.int64), np.array([function(values[begin:end]) for begin, end in ranges], np.float64)


def _subtitle(event: AlertEvent, series: int, *, is_judged: bool) -> str:
    evidence = event.evidence or {}
    name = evidence.get("aggregation", "")
    parts = [f"samples, judged by {name}" if name and not is_judged else name or "samples"]
    if series > 1:
        parts.append(f"of {series} series")
    if is_judged and event.threshold is not None:
        parts.append(f"{operator_symbol(event.operator or '')} {event.threshold:g}")
    return " ".join(parts)


def _thresholds(event: AlertEvent) -> tuple[Threshold, ...]:
    return (Threshold(event.threshold, event.severity),) if event.threshold is not None else ()


def _bands(event: AlertEvent) -> tuple[Band, ...]:
    expected = event.expected or {}
    lower, upper = expected.get("lower"), expected.get("upper")
    return (Band(lower, upper, event.severity),) if lower is not None and upper is not None else ()
