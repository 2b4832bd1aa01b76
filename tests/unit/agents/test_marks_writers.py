"""Who writes marks: evaluate goes on without Kafka's answer, and lifecycle says again what another set back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP
from structlog.testing import capture_logs
from tests.unit.agents.app_double import App
from tests.unit.agents.tables_double import Outbox

from tocsin.agents import marks as agents_marks
from tocsin.agents.marks import MarkWriter, Said
from tocsin.agents.progress import ProgressWriter
from tocsin.engine.route.marks import Marks
from tocsin.engine.standing import Standing
from tocsin.schemas.codec import decode_mark
from tocsin.schemas.mark import Mark, Passed, WorkedOff
from tocsin.schemas.topics import Topics

TOPICS = Topics()


class Asker:
    """A consumer whose broker answers, or does not."""

    answers: Iterator[Any]

    def __init__(self, **_: Any) -> None:
        """It needs no connection."""

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each partition, unless that fails."""
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return dict.fromkeys(partitions, answer)


def written(outbox: Outbox) -> list[Mark]:
    return [decode_mark(value) for topic, _, value in outbox.records if topic == TOPICS.marks and value]


async def test_evaluate_says_later_how_far_it_is_where_kafka_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_marks, "AIOKafkaConsumer", Asker)
    monkeypatch.setattr(Asker, "answers", iter((KafkaTimeoutError("busy"), TimeoutError(), 7)), raising=False)
    outbox, said = Outbox(), Said(b"evaluate/0", Standing(500, (), shares=False), ())
    writer = MarkWriter({}, outbox, TOPICS, 2)  # type: ignore[arg-type]
    with capture_logs() as logs:
        for _ in range(4):
            await writer.write([said])
    assert written(outbox) == [Passed(500, (7, 7))], "and once only"
    assert ["KafkaTimeoutError" in logs[0]["error"], len(logs)] == [True, 2]


class Lifecycle:
    """How far lifecycle is."""

    position = 5

    def worked_off(self, _: int) -> int:
        """The same of each partition."""
        return self.position


async def test_lifecycle_answers_once_and_again_where_another_set_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    app, outbox, marks, clock_s = App(), Outbox(), Marks(1), [100.0]
    app.reader.positions = {TP(TOPICS.signals, 0): 5}
    monkeypatch.setattr("tocsin.agents.progress.time.monotonic", lambda: clock_s[0])
    writer = ProgressWriter(app, outbox, TOPICS, Lifecycle(), marks)  # type: ignore[arg-type]

    async def writes(after_s: float) -> list[Mark]:
        clock_s[0], before = clock_s[0] + after_s, len(outbox.records)
        await writer.write()
        return written(outbox)[before:]

    assert await writes(1) == [], "nobody waits"
    marks.put("evaluate/0", Passed(500, (4,)))
    assert await writes(1) == [WorkedOff(5)]
    assert await writes(0) == [], "it is on its way"
    marks.put("lifecycle/0", WorkedOff(5))
    assert await writes(1) == []
    marks.put("lifecycle/0", WorkedOff(3))
    assert await writes(1) == [WorkedOff(5)]
    marks.put("lifecycle/0", WorkedOff(5))
    marks.put("evaluate/0", Passed(600, (9,)))
    assert await writes(1) == [], "nothing is new of what it has worked off"
