"""Routing and grouping against the slow model, over random trees, alerts, silences, inhibitions and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.routing import Model
from tests.routing.cases import BEGIN_MS, driver, histories, routings, said, silences

from tocsin.schemas.alert import AlertEvent

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
