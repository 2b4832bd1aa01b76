"""Routing and grouping against the slow model, over random trees, alerts, silences, inhibitions and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.routing import Model
from tests.routing.cases import BEGIN_MS, driver, histories, make_event, routings, said, silences

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import format_instant

HORIZON_S = 400


@settings(max_examples=150, deadline=None)
@given(routings, silences, histories(), st.integers(0, HORIZON_S), st.booleans())
def test_groups_are_told_what_the_model_says(
    routing: Mapping[str, Any],
    quiet: list[dict[str, Any]],
    history: list[tuple[int, AlertEvent]],
    crash_s: int,
    forgets: bool,
) -> None:
    played, model = driver(routing, quiet, forgets=forgets), Model(routing, quiet, BEGIN_MS)
    for now_s in range(HORIZON_S):
        for at_s, event in history:
            if at_s == now_s:
                played.alert(event, now_s)
                model.alert(event, now_s)
        if now_s == crash_s:
            played.again(now_s)  # an input that comes twice counts once
        played.tick(now_s)
        model.tick(now_s)
    assert sorted(said(played)) == sorted(model.said)
    assert len({one.id for one in played.notifications}) == len(played.notifications)


def test_a_look_that_comes_late_does_not_tell_what_was_silenced_after_it() -> None:
    begin, end = (format_instant(BEGIN_MS + at_s * 1_000) for at_s in (9, 100))
    played = driver(None, [{"id": "s", "match": ["host=a"], "starts_at": begin, "ends_at": end}])
    played.alert(make_event("slow", {"host": "a"}, "firing", 10, notifications=("pager",)), 10)
    played.tick(8)
    assert not played.notifications
    played.tick(101)
    assert [one.channel_id for one in played.notifications] == ["pager"]
