"""What lifecycle and route have in common: a fetched run as bounded runs of decoded inputs, and how each is applied."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import structlog
from faust.types import TP

from tocsin.agents.dead_letter import Message, dead_letter, message_of
from tocsin.agents.record_batches import BatchRefused, RecordBatch
from tocsin.agents.run_table import Output
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.codec import UnreadableRecord

_RUN: Final = 1_000  # inputs a run: bounds the journal, and how much a crash repeats
_LARGEST: Final = 1_000_000  # bytes of key and value: what every broker takes, with headers
_Input = TypeVar("_Input")
_log = structlog.get_logger("tocsin.inputs")


@dataclass(slots=True)
class KeyedRun(Generic[_Input]):
    """Consecutive inputs of one partition, up to offset `last`, and the record of each; `dead` are dead letters."""

    tp: TP
    last: int = -1
    inputs: list[_Input] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    dead: list[Output] = field(default_factory=list)

    @property
    def name(self) -> str:
        """A name that no other run has."""
        return f"{self.tp.topic}/{self.tp.partition}@{self.last}"

    def halves(self) -> tuple["KeyedRun[_Input]", "KeyedRun[_Input]"]:
        """Two runs in place of this one, which has several inputs; the first has all dead letters, since with it their
        offsets may be committed."""
        half = len(self.inputs) // 2
        last = self.records[half - 1].offset
        first = KeyedRun(self.tp, last, self.inputs[:half], self.records[:half], self.dead)
        return first, KeyedRun(self.tp, self.last, self.inputs[half:], self.records[half:])


def keyed_runs(
    tp: TP, batches: Sequence[RecordBatch], read: Callable[[Any], _Input], dlq: str, stage: str
) -> Iterator[KeyedRun[_Input]]:
    """Cut a fetched run; what `read` refuses with UnreadableRecord, or does not unpack, becomes a dead letter."""
    run: KeyedRun[_Input] = KeyedRun(tp)
    for batch in batches:
        records: Sequence[Any] = ()
        try:
            records = batch.unpack()
        except BatchRefused as refused:
            detail = f"offsets {batch.first} to {batch.offset}: {refused}"
            message = Message(tp.topic, tp.partition, batch.first, None, b"")
            run.dead.append(dead_letter(dlq, stage, "compression", detail, message))
        for record in records:
            try:
                run.inputs.append(read(record))
                run.records.append(record)
            except UnreadableRecord as error:
                run.dead.append(dead_record(dlq, stage, tp, record, "unreadable", str(error)))
            run.last = record.offset
            if len(run.inputs) + len(run.dead) >= _RUN:
                yield run
                run = KeyedRun(tp)
        run.last = batch.offset
    if run.last >= 0:
        yield run


@dataclass(slots=True)
class Outcome:
    """What inputs did: the entries as they are now, None for one that is to go, and what is to be sent. `wakes` are the
    times at which entries are to be looked at next, 0 for never; `urgent` are events that must not wait in line."""

    entries: Mapping[str, bytes | None] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    wakes: Mapping[str, int] = field(default_factory=dict)
    urgent: Sequence[AlertEvent] = ()


class OversizedOutput(ValueError):
    """A record that no broker need take."""


Apply = Callable[[Sequence[_Input]], Outcome]
Finish = Callable[[KeyedRun[_Input], Outcome], Awaitable[bool]]


async def settled(
    run: KeyedRun[_Input],
    apply: Apply[_Input],
    finish: Finish[_Input],
    dlq: str,
    stage: str,
    undo: Callable[[], None] = lambda: None,
) -> bool:
    """Apply a run and finish it; False where `finish` says that the partition is another's.

    One on which `apply` raises is cut in halves, until the input that it fails on is alone: that does nothing and
    becomes a dead letter. `apply` is a function of inputs and what is stored, so it would raise again after every
    restart, for everybody. `undo` makes it forget what it did to what it keeps in memory.
    """
    try:
        outcome = checked(apply(run.inputs))
    except Exception as error:  # noqa: BLE001 - whatever it is, it comes again with the inputs
        undo()
        if len(run.inputs) > 1:
            first, second = run.halves()
            how = apply, finish, dlq, stage, undo
            return await settled(first, *how) and await settled(second, *how)
        (record,) = run.records
        place = f"{run.tp.topic}/{run.tp.partition}@{record.offset}"
        _log.exception("an input was passed over, since it cannot be applied", at=place, stage=stage)
        detail = f"{type(error).__name__}: {error}"
        run.dead.append(dead_record(dlq, stage, run.tp, record, "failed", detail))
        outcome = Outcome()
    return await finish(run, outcome)


def checked(outcome: Outcome) -> Outcome:
    """An outcome of which every output can be sent; raises OversizedOutput. In a journal, one that cannot be sent would
    be tried by every owner to come."""
    for output in outcome.outputs:
        size = len(output.key or b"") + len(output.value or b"")
        if size > _LARGEST:
            raise OversizedOutput(f"what it says on {output.topic} has {size} bytes; at most {_LARGEST} can be sent")
    return outcome


def dead_record(dlq: str, stage: str, tp: TP, record: Any, reason: str, detail: str) -> Output:
    """A dead letter of one record."""
    return dead_letter(dlq, stage, reason, detail, message_of(tp.topic, tp.partition, record))
