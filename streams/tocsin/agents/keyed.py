"""What lifecycle and route have in common: a fetched run as bounded runs of decoded inputs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from faust.types import TP

from tocsin.agents.dead_letter import dead_letter_headers, dead_letter_value
from tocsin.agents.record_batches import RecordBatch
from tocsin.agents.run_table import Output
from tocsin.schemas.codec import UnreadableRecord

_RUN: Final = 100  # inputs a run: bounds the journal, and how much a crash repeats
_Input = TypeVar("_Input")


@dataclass(slots=True)
class KeyedRun(Generic[_Input]):
    """Consecutive inputs of one partition, up to offset `last`; `dead` are records that could not be read."""

    tp: TP
    last: int = -1
    inputs: list[_Input] = field(default_factory=list)
    dead: list[Output] = field(default_factory=list)

    @property
    def name(self) -> str:
        """A name that no other run has."""
        return f"{self.tp.topic}/{self.tp.partition}@{self.last}"


def keyed_runs(
    tp: TP, batches: Sequence[RecordBatch], read: Callable[[Any], _Input], dlq: str, stage: str
) -> Iterator[KeyedRun[_Input]]:
    """Cut a fetched run; what `read` refuses with UnreadableRecord, or does not unpack, becomes a dead letter."""
    run: KeyedRun[_Input] = KeyedRun(tp)
    for batch in batches:
        if batch.refused:
            run.dead.append(_dead(dlq, stage, tp, batch.first, b"", None, "compression", batch.refused))
        for record in batch.records:
            try:
                run.inputs.append(read(record))
            except UnreadableRecord as error:
                dead = _dead(dlq, stage, tp, record.offset, record.key or b"", record.value, "unreadable", str(error))
                run.dead.append(dead)
            run.last = record.offset
            if len(run.inputs) + len(run.dead) >= _RUN:
                yield run
                run = KeyedRun(tp)
        run.last = batch.offset
    if run.last >= 0:
        yield run


def _dead(
    dlq: str, stage: str, tp: TP, offset: int, key: bytes, value: bytes | None, reason: str, detail: str
) -> Output:
    content = value or b""
    headers = dead_letter_headers(stage, reason, detail, tp.topic, tp.partition, offset, len(content))
    return Output(dlq, key, dead_letter_value(content), headers)
