"""Which records of the topics that route reads whole count."""

from __future__ import annotations

import pytest
from tests.routing.cases import BEGIN_MS, driver, make_event

from tocsin.agents.routing import RoutingState
from tocsin.engine.route import board
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.route import Routing


def test_a_channel_under_another_key_is_ignored() -> None:
    state = RoutingState(1)
    channel = Channel(id="ops", type="console")
    state.read_channel(0, b"ops", encode_document(channel), 0)
    state.read_channel(1, b"other", encode_document(channel), 0)
    assert state.channels == {"ops": channel}


def test_what_an_owner_says_late_neither_ends_an_inhibition_nor_brings_one_back() -> None:
    """One that stood still between its journal and its outputs: others went on, then it says what was true before."""
    state = RoutingState(1)
    inhibits = {"route": {"channels": ["ops"]}, "inhibit_rules": [{"source": ["severity=error"], "target": ["zone=a"]}]}
    state.read_routing(0, b"routing", encode_document(Routing.model_validate(inhibits)), 0)
    said = [
        make_event("db", {}, kind, number, sequence=number, severity="error")
        for number, kind in enumerate(("firing", "resolved", "firing", "resolved"), start=1)
    ]
    name = said[0].fingerprint

    def read(event: AlertEvent | None) -> tuple[str, ...]:
        state.read_active(0, name.encode(), codec.encode(event) if event else None, 0)
        return state.muting.inhibitor.sources_of({"zone": "a"})

    assert [read(event) for event in said] == [(name,), (), (name,), ()]
    assert read(said[2]) == ()
    state.read_active(0, name.encode(), None, 0)
    assert read(said[2]) == ()
    again = make_event("db", {}, "firing", 9, sequence=9, severity="error")
    assert [read(event) for event in (again, said[3], None, again)] == [(name,)] * 4
    drill = make_event("db", {}, "firing", 10, sequence=10, severity="error", drill=True)
    assert read(drill) == (), "an exercise hides nothing that is real"


def test_of_alerts_that_are_no_more_only_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_MOST_GONE", 1)
    kept = board.Board()
    said = [
        [make_event(name, {}, kind, number, sequence=number) for number, kind in ((1, "firing"), (2, "resolved"))]
        for name in ("one", "two")
    ]
    for events in said:
        for event in (*events, None):
            assert kept.is_news(events[0].fingerprint, event)
    late = [events[0] for events in said]
    assert [kept.is_news(event.fingerprint, event) for event in late] == [True, False]


def test_where_nobody_is_left_to_tell_what_kept_it_quiet_is_not_said_any_more() -> None:
    silence = {"id": "quiet", "match": ["team=ops"], "starts_at": BEGIN_MS, "ends_at": BEGIN_MS + 10_000}
    at = driver(None, [silence])
    at.alert(make_event("slow", {"team": "ops"}, "firing", 1, notifications=("pager",)), 1)
    at.alert(make_event("slow", {"team": "ops", "n": "2"}, "firing", 1, notifications=("gone",)), 1)
    at.channels = {}
    for at_s in (5, 10, 15):
        at.tick(at_s)
    said = [(one.outcome, one.by, one.channels) for one in at.decisions]
    assert said == [
        ("silenced", ("quiet",), ("pager",)),
        ("silenced", ("quiet",), ("gone",)),
        ("no route", (), ("pager",)),
        ("no route", (), ("gone",)),
    ]
    assert "enable" in at.decisions[-1].reason
