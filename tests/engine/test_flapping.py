"""Alerts that flap: against a slow model, and what their channels hear."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.flapping import Model

from tocsin.engine.lifecycle.record import AlertRecord, decode, encode, wake_of
from tocsin.engine.lifecycle.step import step
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.step import step as route
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

AT_MS = 1_700_000_000_000
HORIZON_S = 24 * 7 + 1
LEVELS = {"warning": 0, "critical": 1}
_STEPS = [{"severity": "warning", "threshold": 1}, {"severity": "critical", "threshold": 9}]


def rule(changes: int, within_s: int) -> Rule:
    flapping = {"changes": changes, "within": f"{within_s}s"}
    return Rule.model_validate(
        {"id": "r", "metric_type": "m", "levels": _STEPS, "flapping": flapping, "notifications": ["mail"]}
    )


class Alert:
    """What lifecycle says of one fingerprint; its record is stored after every input."""

    def __init__(self, of: Rule) -> None:
        self.rule, self.stored = of, b""
        self.events: list[AlertEvent] = []
        self.is_firing, self.severity = False, ""

    def take(self, item: Signal | RouteTick) -> None:
        done = step([item], self.find, lambda *_: self.rule, self.due)
        for record in done.records.values():
            self.stored = encode(record)
        self.events += done.events

    def find(self, _: str) -> AlertRecord | None:
        return decode(self.stored) if self.stored else None

    def due(self, now_ms: int) -> list[str]:
        return ["f"] if self.stored and 0 < wake_of(self.stored) <= now_ms else []

    def signal(self, at_s: int, kind: str, severity: str, written_s: int | None = None) -> None:
        """As evaluate says it: nothing that is so already."""
        if (kind == "firing") == self.is_firing or (kind == "changed" and severity == self.severity):
            return
        self.is_firing, self.severity = kind != "ended", severity if kind != "ended" else self.severity
        at_ms, written_ms = AT_MS + at_s * 1_000, AT_MS + (at_s if written_s is None else written_s) * 1_000
        evidence = Evidence("m", (at_ms, at_ms), 1)
        order = (0, at_ms, len(self.events))
        level = LEVELS[self.severity]
        self.take(
            Signal("f", kind, "r", 0, order, at_ms, at_ms, {}, 1.0, evidence, level=level, written_ms=written_ms)  # type: ignore[arg-type]
        )

    def said(self) -> list[tuple[int, str, str, str, str]]:
        return [
            ((parse_instant(one.updated_at) - AT_MS) // 1_000, one.type, one.status, one.severity, one.flapping)
            for one in self.events
        ]


_changes = st.tuples(
    st.integers(1, 7),
    st.sampled_from(["firing", "ended", "firing", "ended", "changed"]),
    st.sampled_from(list(LEVELS)),
)
# Gaps, so that there are many changes within few seconds.
histories = st.lists(_changes, max_size=24).map(
    lambda found: {sum(gap for gap, *_ in found[: place + 1]): tuple(what) for place, (_, *what) in enumerate(found)}
)


@settings(max_examples=400, deadline=None)
@given(histories, st.integers(3, 5), st.integers(3, 20))
def test_it_flaps_when_the_model_says_so(history: dict[int, tuple[Any, ...]], changes: int, within_s: int) -> None:
    alert, model = Alert(rule(changes, within_s)), Model(changes, within_s)
    for now_s in range(HORIZON_S + within_s + 1):
        model.second(now_s)
        alert.take(RouteTick(AT_MS + now_s * 1_000))
        if now_s in history:
            model.signal(now_s, *history[now_s])
            alert.signal(now_s, *history[now_s])
    assert alert.said() == model.said
    _, heard = told(alert.events)
    final = [event for event in alert.events if not event.is_noise][-1:]
    assert heard[-1:] == [event.id for event in final], "whatever was kept quiet, the last state is told"
    assert not alert.events or alert.events[-1].flapping in ("", "stopped")


def told(events: list[AlertEvent]) -> tuple[list[str], list[str]]:
    """What the channel of the rule hears: types, and the ids of the events."""
    kept: dict[str, RouteRecord] = {}
    done = route(events, kept.get, {"mail": Channel(id="mail", type="webhook")}, ["webhook"])
    return [one.event.type for one in done.notifications], [one.event.id for one in done.notifications]


def test_what_comes_late_is_not_calm_because_of_that() -> None:
    """A backlog of an hour: samples of a minute ago, judged now."""
    alert = Alert(rule(3, 10))
    for at_s in (0, 2, 4, 6, 8):
        alert.signal(at_s, "ended" if at_s % 4 else "firing", "warning", written_s=3_600 + at_s)
        alert.take(RouteTick(AT_MS + (3_600 + at_s) * 1_000))
    assert [one.flapping for one in alert.events] == ["", "", "started", "ongoing", "ongoing"]
    alert.take(RouteTick(AT_MS + 3_618_000))
    assert (alert.events[-1].flapping, alert.events[-1].type) == ("stopped", "changed")


def test_a_rule_that_is_deleted_ends_it_at_once() -> None:
    alert = Alert(rule(3, 30))
    for at_s in (0, 1, 2, 3):
        alert.signal(at_s, "ended" if at_s % 2 else "firing", "warning")
    alert.signal(4, "firing", "warning")
    at_ms = AT_MS + 5_000
    evidence = Evidence("m", (at_ms, at_ms), 1)
    alert.take(Signal("f", "ended", "r", 0, (1, 0, 0), at_ms, at_ms, {}, 1.0, evidence, reason="rule deleted"))
    assert alert.said()[-1] == (5, "resolved", "resolved", "warning", "stopped")
    alert.take(RouteTick(AT_MS + 100_000))
    assert len(alert.events) == 6
