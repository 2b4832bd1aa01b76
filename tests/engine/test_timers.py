"""What ends by itself: against a slow model, through crashes, and however seldom time is looked at."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.care import Care

from tocsin.engine.lifecycle.record import AlertRecord, decode, encode, wake_of
from tocsin.engine.lifecycle.step import Input, NumberedCommand, step
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

AT_MS = 1_700_000_000_000
HORIZON_S = 120
_STEPS = [{"severity": "warning", "threshold": 1}, {"severity": "critical", "threshold": 9}]
RULE = Rule.model_validate({"id": "r", "metric_type": "m", "levels": _STEPS})
LEVELS = {"warning": 0, "critical": 1}


class Store:
    """Records as a table keeps them."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.events: list[AlertEvent] = []

    def take(self, *inputs: Input) -> None:
        """Apply inputs; records go through their encoding, as if every run had crashed behind it."""
        done = step(inputs, self.find, lambda *_: RULE, self.due)
        self.entries |= {name: encode(record) for name, record in done.records.items()}
        self.events += done.events

    def find(self, name: str) -> AlertRecord | None:
        """What is kept."""
        return decode(self.entries[name]) if name in self.entries else None

    def due(self, now_ms: int) -> list[str]:
        """By the light way of reading, which agents use."""
        return [name for name, value in self.entries.items() if 0 < wake_of(value) <= now_ms]

    def said(self) -> list[tuple[int, str, str, str]]:
        """As the model says it."""
        return [
            ((parse_instant(event.updated_at) - AT_MS) // 1_000, event.type, event.status, event.reason)
            for event in self.events
        ]


def signal(at_s: int, number: int, kind: str, severity: str) -> Signal:
    at_ms = AT_MS + at_s * 1_000
    evidence = Evidence("m", (at_ms, at_ms), 1)
    return Signal(
        "f", kind, "r", 0, (0, at_ms, number), at_ms, at_ms, {}, 1.0, evidence, level=LEVELS[severity]  # type: ignore[arg-type]
    )  # fmt: skip


def command(at_s: int, number: int, kind: str, by: str, length_s: int, every_s: int) -> NumberedCommand:
    at_ms = AT_MS + at_s * 1_000
    until_ms = at_ms + length_s * 1_000 if length_s else None
    trigger = Trigger("r", "r") if kind == "trigger" else None
    every_ms = every_s * 1_000 if kind == "acknowledge" else 0
    made = Command(str(number), kind, "f", by, at_ms, "", trigger, until_ms=until_ms, remind_every_ms=every_ms)  # type: ignore[arg-type]
    return NumberedCommand(number, made)


_signals = st.tuples(st.just("signal"), st.sampled_from(["firing", "ended", "changed"]), st.sampled_from(list(LEVELS)))
_commands = st.tuples(
    st.just("command"),
    st.sampled_from(["acknowledge", "acknowledge", "snooze", "unacknowledge", "resolve", "trigger"]),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([0, 0, 7, 20, 45]),
    st.sampled_from([0, 5, 9]),
)
histories = st.lists(
    st.tuples(st.integers(0, HORIZON_S - 1), st.one_of(_signals, _commands)), max_size=12
).map(lambda found: sorted(found, key=lambda one: one[0]))  # fmt: skip


def put(store: Store, model: Care | None, at_s: int, number: int, what: tuple[Any, ...]) -> None:
    if what[0] == "signal":
        store.take(signal(at_s, number, *what[1:]))
        if model:
            model.signal(at_s, *what[1:])
        return
    kind, by, length_s, every_s = what[1:]
    every_s = every_s if kind == "acknowledge" else 0
    store.take(command(at_s, number, kind, by, length_s, every_s))
    if model:
        model.command(at_s, kind, by, length_s, every_s)


@settings(max_examples=300, deadline=None)
@given(histories, st.integers(0, HORIZON_S))
def test_timers_do_what_the_model_says(history: list[tuple[int, tuple[Any, ...]]], again_s: int) -> None:
    store, model = Store(), Care()
    for now_s in range(HORIZON_S):
        model.second(now_s)
        store.take(RouteTick(AT_MS + now_s * 1_000))
        for number, (at_s, what) in enumerate(history):
            if at_s == now_s:
                put(store, model, at_s, number, what)
        if now_s == again_s:  # a crash: everything comes once more
            for number, (at_s, what) in enumerate(history):
                if at_s <= now_s:
                    put(store, None, at_s, number, what)
            store.take(RouteTick(AT_MS + now_s * 1_000))
    assert store.said() == model.said
    assert len({event.id for event in store.events}) == len(store.events)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, HORIZON_S), _commands.filter(lambda what: what[4] == 0)), max_size=8),
    st.sets(st.integers(1, HORIZON_S)),
)
def test_how_seldom_time_is_looked_at_changes_no_time_at_which_something_ends(
    given_commands: list[tuple[int, tuple[Any, ...]]], looked_s: set[int]
) -> None:
    """Nothing but commands, which carry their own time: a worker that was away says the same afterwards."""
    stores = Store(), Store()
    for store, looks in zip(stores, (set(range(HORIZON_S)), looked_s), strict=True):
        put(store, None, 0, 0, ("command", "trigger", "ann", 60, 0))
        for now_s in range(1, HORIZON_S + 1):
            if now_s in looks:
                store.take(RouteTick(AT_MS + now_s * 1_000))
            for number, (at_s, what) in enumerate(given_commands, 1):
                if at_s == now_s:
                    put(store, None, at_s, number, what)
        store.take(RouteTick(AT_MS + 10 * HORIZON_S * 1_000))
    assert stores[0].said() == stores[1].said()


def test_reminders_that_were_missed_are_one() -> None:
    store = Store()
    put(store, None, 0, 0, ("signal", "firing", "warning"))
    put(store, None, 1, 1, ("command", "acknowledge", "ann", 0, 5))
    for now_s in (28, 30, 31):
        store.take(RouteTick(AT_MS + now_s * 1_000))
    assert [(at_s, kind) for at_s, kind, _, _ in store.said()[2:]] == [(6, "reminded"), (31, "reminded")]
