"""Alerts raised by hand: what a rule holds back, a person may still want."""

from __future__ import annotations

from typing import Any

import orjson

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.transitions import on_command
from tocsin.schemas.codec import decode
from tocsin.schemas.command import Command

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
