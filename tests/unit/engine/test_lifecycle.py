"""What people do about alerts."""

from __future__ import annotations

import json

import pytest

from tocsin.engine.lifecycle.step import step
from tocsin.engine.pipeline import Pipeline
from tocsin.schemas.command import Command, CommandType
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal, SignalKind

AT_MS = 1_700_000_000_000
RULE = Rule(id="r", metric_type="m", threshold=1)


def message(at_ms: int, value: float) -> bytes:
    return json.dumps({"name": "m", "value": value, "timestamp": at_ms, "labels": {"host": "a1"}}).encode()


def played(*values: float) -> Pipeline:
    """One value a second."""
    pipeline = Pipeline([RULE])
    pipeline.run(AT_MS)
    for second, value in enumerate(values):
        pipeline.publish(message(AT_MS + second * 1_000, value), AT_MS, b"a1")
    pipeline.run(AT_MS + len(values) * 1_000)
    return pipeline


@pytest.mark.parametrize("kind", ["acknowledge", "resolve"])
def test_a_command_that_comes_too_late_does_not_touch_the_next_episode(kind: CommandType) -> None:
    pipeline = played(9, 0, 9)
    first, _, again = pipeline.events
    assert (first.type, again.type) == ("firing", "firing")
    pipeline.command(Command("1", kind, first.fingerprint, "anna", AT_MS + 500, starts_at=first.starts_at))
    assert pipeline.events[3:] == []
    pipeline.command(Command("2", kind, first.fingerprint, "anna", AT_MS + 2_500, starts_at=again.starts_at))
    assert [event.starts_at for event in pipeline.events[3:]] == [again.starts_at]


def test_a_late_unacknowledge_leaves_the_next_episode_acknowledged() -> None:
    pipeline = played(9, 0, 9)
    first, _, again = pipeline.events
    pipeline.command(Command("1", "acknowledge", first.fingerprint, "anna", AT_MS, starts_at=again.starts_at))
    pipeline.command(Command("2", "unacknowledge", first.fingerprint, "anna", AT_MS, starts_at=first.starts_at))
    assert pipeline.alerts[first.fingerprint].status == "acknowledged"


def test_a_command_that_names_no_episode_means_the_current_one() -> None:
    pipeline = played(9, 0, 9)
    pipeline.command(Command("1", "resolve", pipeline.events[0].fingerprint, "anna", AT_MS + 2_500))
    assert pipeline.events[-1].type == "resolved"


def test_an_alert_that_is_over_and_gone_within_one_run_is_over_first() -> None:
    """Who orders states by their numbers would else believe it active for ever: none has no number."""
    kinds: tuple[SignalKind, ...] = ("pending", "firing", "ended", "pending", "ended")
    signals = [
        Signal("f", kind, "r", 0, (0, number, 0), number, number, {}, 9.0, Evidence("m", (0, 1), 1))
        for number, kind in enumerate(kinds)
    ]
    changes = step(signals, lambda _: None, lambda *_: RULE)
    assert [event and event.status for _, event in changes.states()] == ["resolved", None]
    changes = step(signals[:1] + signals[-1:], lambda _: None, lambda *_: RULE)
    assert [event and event.status for _, event in changes.states()] == [None]
