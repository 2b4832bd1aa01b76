"""How large what is said of an alert may be."""

from __future__ import annotations

from tocsin.engine.pipeline import Pipeline
from tocsin.engine.templates import MAX_TEXTS_BYTES, fitted
from tocsin.schemas.codec import encode
from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.rule import Rule

AT_MS = 1_700_000_000_000
EURO = "\N{EURO SIGN}"


def test_the_texts_of_an_event_are_bounded_together() -> None:
    long = "{% for i in range(8000) %}" + EURO + "{% endfor %}"
    annotations = {"summary": "{{ labels.host }}", **{f"a{number}": long for number in range(63)}}
    labels = {f"l{number}": EURO * 8_192 for number in range(64)}
    pipeline = Pipeline([Rule(id="r", metric_type="m", threshold=1, annotations=annotations, labels=labels)])
    pipeline.run(AT_MS)
    pipeline.publish(b'{"name": "m", "value": 9, "labels": {"host": "a1"}}', AT_MS, b"a1")
    pipeline.run(AT_MS)
    event = pipeline.events[0]
    texts = [*event.annotations.values(), *(text for name, text in event.labels.items() if name != "host")]
    assert MAX_TEXTS_BYTES - 3 * len(texts) <= sum(len(text.encode()) for text in texts) <= MAX_TEXTS_BYTES
    assert (event.annotations["summary"], event.labels["host"]) == ("a1", "a1")
    assert len({text for text in texts if text != "a1"}) == 1
    assert event.labels["l0"].endswith(EURO + "…")
    assert len(encode(event)) < 100_000


def test_an_alert_raised_by_hand_is_bounded_too() -> None:
    pipeline = Pipeline([])
    trigger = Trigger("r", "R", labels={"host": "a1"}, annotations={"summary": "x" * 900_000})
    pipeline.command(Command("1", "trigger", "9f2c", "anna", AT_MS, trigger=trigger))
    (event,) = pipeline.events
    assert event.labels == {"host": "a1"}
    assert len(event.annotations["summary"].encode()) == MAX_TEXTS_BYTES - len("a1")


def test_texts_that_fit_stay_as_they_are() -> None:
    texts = ["x" * (MAX_TEXTS_BYTES - 1), "y", ""]
    assert fitted(texts) == texts
    assert fitted([]) == []


def test_more_texts_than_there_is_room_for_are_left_empty() -> None:
    assert sum(len(text.encode()) for text in fitted(["1234"] * 40_000)) <= MAX_TEXTS_BYTES
