"""Silences that end soon: one alert each, which their own silence does not hide."""

from __future__ import annotations

from typing import Any

from tocsin.engine.lifecycle.record import AlertRecord
from tocsin.engine.lifecycle.step import NumberedCommand, step
from tocsin.engine.route.reminders import RULE_ID, Reminders, taken_back
from tocsin.engine.route.silences import Silences, applies
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.command import Command
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.instant import format_instant
from tocsin.schemas.silence import Silence

HOUR = 3_600_000
BASE: dict[str, Any] = {
    "id": "s", "match": ["severity=info"], "starts_at": 0, "ends_at": 2 * HOUR, "comment": "at work",
    "reminder": {"before": "30m", "notifications": ["mail"]},
}  # fmt: skip


def silences(**change: Any) -> Silences:
    found = Silences()
    found.put("s", Silence.model_validate(BASE | change))
    return found


def events(*inputs: Command | int) -> list[AlertEvent]:
    """Of commands and of times that come."""
    kept: dict[str, AlertRecord] = {}
    said: list[AlertEvent] = []

    def due(_: int) -> list[str]:
        return list(kept)

    for place, one in enumerate(inputs):
        item = RouteTick(one) if isinstance(one, int) else NumberedCommand(place, one)
        changes = step([item], kept.get, lambda *_: None, due)
        kept.update(changes.records)
        said += changes.events
    return said


def test_each_is_said_once_by_one_worker_and_a_repeat_by_another_does_nothing() -> None:
    reminders, known = Reminders(), silences()
    assert reminders.due(known, 90 * 60_000 - 1) == []
    (first,) = reminders.due(known, 90 * 60_000)
    assert reminders.due(known, 95 * 60_000) == []
    (again,) = Reminders().due(known, 100 * 60_000)
    assert again == first
    said = events(first, again, 2 * HOUR, again)
    assert [(one.type, one.reason, one.updated_at[11:16]) for one in said] == [
        ("firing", "manual", "01:30"),
        ("resolved", "time over", "02:00"),
    ]
    assert (said[0].rule_id, said[0].notifications, said[0].annotations["comment"]) == (RULE_ID, ("mail",), "at work")


def test_one_that_is_prolonged_takes_it_back_and_is_reminded_of_again() -> None:
    reminders = Reminders()
    (first,) = reminders.due(silences(), 100 * 60_000)
    back = taken_back(Silence.model_validate(BASE), 110 * 60_000)
    longer = silences(ends_at=3 * HOUR)
    assert reminders.due(longer, 110 * 60_000) == []
    (second,) = reminders.due(longer, 150 * 60_000)
    said = events(first, back, second)
    assert [(one.type, one.labels["ends_at"]) for one in said] == [
        ("firing", format_instant(2 * HOUR)),
        ("resolved", format_instant(2 * HOUR)),
        ("firing", format_instant(3 * HOUR)),
    ]


def test_a_silence_does_not_hide_that_it_ends() -> None:
    (command,) = Reminders().due(silences(), 100 * 60_000)
    (event,) = events(command)
    silence = Silence.model_validate(BASE)
    assert not applies(silence, routing_labels(event), event.fired_ms)
    assert applies(silence.model_copy(update={"id": "another"}), routing_labels(event), event.fired_ms)
