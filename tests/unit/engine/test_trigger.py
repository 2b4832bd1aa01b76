"""Alerts raised by hand: what a rule holds back, a person may still want."""

from __future__ import annotations

from typing import Any

import orjson

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.transitions import on_command, on_signal
from tocsin.schemas.codec import decode
from tocsin.schemas.command import Command
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Evidence, Signal

FINGERPRINT = "9f2c000000000001"


def command(kind: str, at_ms: int) -> Command:
    """As it lies on `commands`, where older ones also name the cooldown of the rule."""
    body: dict[str, Any] = {"id": str(at_ms), "type": kind, "fingerprint": FINGERPRINT, "actor": "a", "at_ms": at_ms}
    if kind == "trigger":
        body["trigger"] = {"rule_id": "slow", "rule_name": "Slow", "cooldown_ms": 300_000}
    return decode(Command, orjson.dumps(body))


def test_each_trigger_of_an_alert_that_is_over_raises_it_however_soon() -> None:
    record = AlertRecord(FINGERPRINT)
    kinds = ("trigger", "resolve", "trigger", "trigger")
    events = [on_command(record, command(kind, at_ms)) for at_ms, kind in enumerate(kinds)]
    assert [event.type if event else None for event in events] == ["firing", "resolved", "firing", None]
    assert len({event.id for event in events if event}) == 3


def test_what_was_raised_by_hand_says_how_it_is_when_its_condition_holds() -> None:
    levels = [{"severity": "warning", "threshold": 1}, {"severity": "critical", "threshold": 100}]
    rule, record = Rule.model_validate({"id": "slow", "metric_type": "m", "levels": levels}), AlertRecord(FINGERPRINT)
    on_command(record, command("trigger", 1))
    evidence = Evidence("m", (0, 1), 1)
    holds = Signal(FINGERPRINT, "firing", "slow", 0, (0, 2, 0), 2, 2, {}, 500.0, evidence, level=1)
    changed = on_signal(record, holds, rule)
    ended = on_signal(record, Signal(FINGERPRINT, "ended", "slow", 0, (0, 3, 0), 3, 3, {}, 0.0, evidence), rule)
    assert changed is not None
    assert (changed.type, changed.severity, changed.value) == ("changed", "critical", 500.0)
    assert ended is not None
    assert ended.status == "resolved"
