"""A lane: the series that some rules watch in one way, numbered as slots, with the state of these rules."""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from tocsin.engine.evaluate.columns import CHUNK, Columns, Spec
from tocsin.engine.evaluate.copies import DamagedCheckpoint
from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.derivations import DERIVATIONS
from tocsin.engine.evaluate.judge import Judge, RuleVersion, Silence, Subject
from tocsin.engine.evaluate.late import LateSample
from tocsin.engine.evaluate.plan import GroupSpec, Judged, LaneSpec, Source
from tocsin.engine.evaluate.points import Points, running_maximum, segments
from tocsin.engine.evaluate.refusals import Refusals
from tocsin.engine.evaluate.samples import Samples
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.frame import Ints
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.schemas.labels import stable_id
from tocsin.schemas.signal import Signal

FREE: Final = -1
_FEWEST: Final = 64


class Lane(ABC):
    """What lanes share: membership, judges, and their checkpoint. `judged` is a slot's latest judged time."""

    def __init__(self, spec: LaneSpec | GroupSpec, judged: Judged, series: SeriesTable, own: Spec) -> None:
        self.spec = spec
        self.series = series
        shared: Spec = {"series": ("i8", 0, FREE), "judged": ("i8", 0, UNSEEN_MS), "heard": ("i8", 0, UNSEEN_MS)}
        assert not shared.keys() & own.keys()
        self.columns = Columns(shared | own)
        self.late = 0
        self.kept_late: list[Samples] = []  # not yet handed on
        self.refused = Refusals()  # series beyond the most that the rules allow
        self._slots = np.full(_FEWEST, FREE, np.int64)  # by series number
        self._free: list[int] = []
        self._judge(judged)

    def _judge(self, judged: Judged) -> None:
        self.sources: dict[str, Source] = {}
        self.judges: dict[str, Judge] = {}
        self.derivations: dict[str, Derivation] = {}
        self._shortest_ms = _shortest_silence(judged)
        for key, (source, versions) in sorted(judged.items()):
            self.sources[key], self.judges[key] = source, Judge(versions)
            if source.derivation:
                hop_ms = self.spec.window.hop_ms if self.spec.window else 0
                self.derivations[key] = DERIVATIONS[source.derivation](source.settings, hop_ms, source.upwards)

    def _tables(self) -> list[Columns]:
        """Every table that has a row for each slot."""
        return [*self._watching(), *(derivation.columns for derivation in self.derivations.values())]

    def _watching(self) -> list[Columns]:
        return [self.columns, *(judge.columns for judge in self.judges.values())]

    @property
    def aggregates(self) -> set[str]:
        """The aggregations that are asked for."""
        return {source.aggregate for source in self.sources.values()}

    def room(self) -> int:
        """How many more series may be watched."""
        return self.spec.most_series - (self.columns.count - len(self._free))

    def admit(self, numbers: Ints) -> None:
        """Watch more series."""
        reused = [heapq.heappop(self._free) for _ in range(min(len(self._free), len(numbers)))]
        first, more = self.columns.count, len(numbers) - len(reused)
        if more:
            for table in self._tables():
                table.add(more)
        slots = np.array([*reused, *range(first, first + more)], np.int64)
        self.columns["series"][slots] = numbers
        self.columns["heard"][slots] = self.series.columns["latest"][numbers]
        self.columns.touch(slots)  # some may have been given up
        self._place(numbers, slots)

    def dismiss(self, number: int) -> None:
        """Forget a series."""
        slot = int(self._slots[number]) if number < len(self._slots) else FREE
        if slot == FREE:
            return
        for table in self._tables():
            table.renew(slot)
        for judge in self.judges.values():
            judge.renew(slot)
        self._slots[number] = FREE
        heapq.heappush(self._free, slot)

    def _place(self, numbers: Ints, slots: Ints) -> None:
        missing = int(numbers.max(initial=-1)) + 1 - len(self._slots)
        if missing > 0:
            self._slots = np.concatenate((self._slots, np.full(max(missing, len(self._slots)), FREE, np.int64)))
        self._slots[numbers] = slots

    def slots(self, numbers: Ints) -> Ints:
        """The slot of each series, FREE where it is not watched here."""
        known = np.minimum(numbers, len(self._slots) - 1)
        return np.where(numbers < len(self._slots), self._slots[known], FREE)

    def slot_of(self, number: int) -> int:
        """The slot of one series, FREE where it is not watched here."""
        return int(self._slots[number]) if number < len(self._slots) else FREE

    def occupied(self) -> Ints:
        """Every slot that is in use."""
        if not self._free:
            return np.arange(self.columns.count)
        return np.flatnonzero(self.columns["series"][: self.columns.count] != FREE)

    def describe(self, slot: int) -> Subject:
        """The series behind a slot."""
        number = int(self.columns["series"][slot])
        _, labels = self.series.describe(number)
        return Subject(labels, self.series.units[number])

    def judge_all(self, points: dict[str, Points], out: list[Signal]) -> None:
        """Let every judge look at its source: `points` by aggregation, or by `aggregation/full` where those differ."""
        for key, judge in self.judges.items():
            source = self.sources[key]
            found = points[f"{source.aggregate}/full"] if source.full else points[source.aggregate]
            found = found.usable()
            if not len(found):
                continue
            if key in self.derivations:
                found = self.derivations[key].derive(found)
            judge.judge(found, self.describe, out)
            if self.series.watch is not None:
                self.series.watch(judge, found, self.describe)

    def adopt(self, judged: Judged) -> None:
        """Go on with other rules on the same lane; state of rules that stay is kept."""
        sources, judges, derivations = self.sources, self.judges, self.derivations
        heeded = self._shortest_ms is not None
        self._judge(judged)
        if not heeded and self._shortest_ms is not None:
            slots = self.occupied()
            self.columns["heard"][slots] = self.series.columns["latest"][self.columns["series"][slots]]
            self.columns.touch(slots)
        for key, judge in self.judges.items():
            if key in judges:
                judge.inherit(judges[key])
            else:
                judge.columns.add(self.columns.count)
        for key, derivation in self.derivations.items():
            alike = self._learnt_alike(self.sources[key], sources)
            if key in derivations:
                self.derivations[key] = derivations[key]
            elif alike is not None:
                derivation.inherit(derivations[alike])
            elif self.columns.count:
                derivation.columns.add(self.columns.count)
        if judges.keys() != self.judges.keys() or not all(
            judge.is_laid_out_as(judges[key]) for key, judge in self.judges.items()
        ):
            self.columns.dirty[:] = True

    def _learnt_alike(self, source: Source, others: Mapping[str, Source]) -> str | None:
        """The first among other sources that learns the same: a rule that is changed in what it asks for, or one that
        is tried out beside another, begins with what is known."""
        return min(
            (key for key, one in others.items() if one.learnt_by and one.learnt_by == source.learnt_by), default=None
        )

    def versions(self) -> list[RuleVersion]:
        """The rules that look at this lane."""
        return [version for judge in self.judges.values() for version in judge.versions]

    def note_late(self, samples: Samples) -> None:
        """Samples that came after what they belong to was judged: counted, and kept where a rule asks for it."""
        self.late += len(samples)
        if any(version.rule.keep_late for version in self.versions()):
            self.kept_late.append(samples)

    def hand_over_late(self) -> list[LateSample]:
        """The late samples that were kept since the last time."""
        kept, self.kept_late = self.kept_late, []
        rules = sorted({version.rule.id for version in self.versions() if version.rule.keep_late})
        found = []
        for samples in kept:
            for index in range(len(samples)):
                name, labels = self.series.describe(int(samples.series[index]))
                topic, partition = self.series.sources[int(samples.source[index])]
                place = topic, partition, int(samples.offsets[index])
                value, at_ms = float(samples.values[index]), int(samples.at_ms[index])
                found.append(LateSample(name, value, at_ms, labels, rules, *place))
        return found

    def hear(self, samples: Samples, out: list[Signal]) -> None:
        """Take samples, as `take`, and tell rules that ask for it where a series had been silent before one of them:
        what silence means follows from the samples, and not from when they came."""
        if self._shortest_ms is None:
            self.take(samples, out)
            return
        slots = self.slots(samples.series)
        watched = slots != FREE
        slots, samples = slots[watched], samples.take(watched)
        if not len(slots):
            return
        begins = segments(slots)
        unique = slots[begins[:-1]]
        before = running_maximum(samples.at_ms, begins, self.columns["heard"][unique])
        unheard = before < samples.at_ms.min()
        before[unheard] = self.columns["heard"][slots[unheard]]
        silent = (before > UNSEEN_MS) & (samples.at_ms - self._shortest_ms >= before)
        latest_ms = np.maximum(self.columns["heard"][unique], np.maximum.reduceat(samples.at_ms, begins[:-1]))
        if silent.any():
            so_far = np.cumsum(silent, dtype=np.int64)
            turns = so_far - np.repeat(so_far[begins[:-1]] - silent[begins[:-1]], np.diff(begins))
            for turn in range(int(turns.max()) + 1):
                chosen = turns == turn
                first = np.flatnonzero(chosen & silent)
                self._fall_silent(slots[first], before[first], samples.at_ms[first], out)
                self.take(samples.take(chosen), out)
        else:
            self.take(samples, out)
        self.columns["heard"][unique] = latest_ms
        self.columns.touch(unique)

    @abstractmethod
    def take(self, samples: Samples, out: list[Signal]) -> None:
        """Samples of any series, grouped by series and in order within each; signals are added to `out`."""

    def ended_ms(self, slots: Ints) -> Ints:
        """When the last value that a slot's samples give is due: the end of the last window that holds any."""
        return np.asarray(self.columns["judged"][slots])

    def finish(self, slots: Ints, out: list[Signal]) -> None:  # noqa: B027 - most lanes keep nothing open
        """Judge what is open of some slots: nothing more comes that would belong to it."""

    def _fall_silent(self, slots: Ints, latest_ms: Ints, now_ms: Ints, out: list[Signal]) -> None:
        ended_ms = self.ended_ms(slots)
        over = now_ms >= np.maximum(latest_ms + (self._shortest_ms or 0), ended_ms)
        if not over.any():
            return
        self.finish(slots[over], out)
        silence = Silence(slots[over], latest_ms[over], ended_ms[over], now_ms[over])
        for judge in self.judges.values():
            judge.silent(silence, self.describe, out)

    def quiet(self, now_ms: Ints, until_ms: int, quiet_ms: int, out: list[Signal]) -> None:
        """Time went by. `now_ms` is, by series number, where its event time stands by now; whatever lies before
        `until_ms` has been taken. Rules that ask for it hear of series that fell silent."""
        if self._shortest_ms is None:
            return
        slots = self.occupied()
        numbers = self.columns["series"][slots]
        latest_ms = self.columns["heard"][slots]
        # Where these differ, samples still wait.
        whole = (latest_ms == self.series.columns["latest"][numbers]) & (latest_ms > UNSEEN_MS)
        if whole.any():
            slots, numbers, latest_ms = slots[whole], numbers[whole], latest_ms[whole]
            self._fall_silent(slots, latest_ms, now_ms[numbers] - self.spec.lateness_ms, out)

    def is_at_rest(self, number: int) -> bool:
        """Whether a series could be forgotten without anybody noticing."""
        slot = self.slot_of(number)
        return slot == FREE or all(judge.is_at_rest(slot) for judge in self.judges.values())

    def dirty_chunks(self) -> list[int]:
        """Chunks written since the last checkpoint; clears the note."""
        dirty = [table.dirty_chunks(self._chunks) for table in self._watching()]
        return np.flatnonzero(np.logical_or.reduce(dirty)).tolist()

    @property
    def _chunks(self) -> int:
        return -(-self.columns.count // CHUNK)

    def pack_dirty(self) -> Iterator[tuple[int, bytes]]:
        """Chunks of slots written since the last checkpoint, each with everything that hangs on them."""
        cells = {key: judge.cells.by_chunk() for key, judge in self.judges.items()}
        for chunk in self.dirty_chunks():
            judges = [(key, judge.columns.pack(chunk), cells[key].get(chunk)) for key, judge in self.judges.items()]
            more = self.pack_more(chunk * CHUNK, (chunk + 1) * CHUNK)
            packed = {"columns": self.columns.pack(chunk), "judges": judges, **more}
            yield chunk, msgspec.msgpack.encode(packed)

    def pack_learnt(self) -> Iterator[tuple[str, bytes]]:
        """What derivations have written since the last checkpoint, by name: much, and of much of it little changes."""
        for key, derivation in self.derivations.items():
            columns = derivation.columns
            for chunk in np.flatnonzero(columns.dirty_chunks(self._chunks)).tolist():
                for name, packed in columns.pack_parts(chunk):
                    yield f"{_derivation_name(key)}/{name}", packed

    def unpack_learnt(self, part_of: Callable[[str], bytes]) -> None:
        """The inverse of `pack_learnt`, of all slots."""
        for key, derivation in self.derivations.items():
            part = partial(_part, part_of, _derivation_name(key))
            for chunk in range(self._chunks):
                derivation.columns.unpack_parts(chunk, part)
            derivation.columns.dirty[:] = False

    def learnt_names(self) -> set[str]:
        """What the names of `pack_learnt` may be."""
        return {
            f"{_derivation_name(key)}/{chunk}{part}"
            for key, derivation in self.derivations.items()
            for chunk in range(self._chunks)
            for part in ("", *(f"/{strip}" for strip, _, _ in derivation.columns.strips()))
        }

    def pack_more(self, first: int, end: int) -> dict[str, Any]:
        """What a kind of lane keeps of slots first to end besides its columns."""
        return {}

    def unpack(self, chunk: int, value: bytes) -> None:
        """The inverse of `pack_dirty`, into a lane with the same rules; chunks come in order. Raises DamagedCheckpoint
        for what is judged by other keys here."""
        packed = msgspec.msgpack.decode(value, strict=False)
        first = chunk * CHUNK
        self.columns.unpack(chunk, packed["columns"])
        numbers = self.columns["series"][first : self.columns.count]
        used = np.flatnonzero(numbers != FREE)
        self._free += (np.flatnonzero(numbers == FREE) + first).tolist()
        self._place(numbers[used], used + first)
        for key, columns, cells in packed["judges"]:
            judge = self.judges.get(key)
            if judge is None:
                raise DamagedCheckpoint(f"another version of tocsin wrote it, which judged by {key!r}")
            judge.columns.unpack(chunk, columns)
            if cells:
                judge.cells.unpack(cells)
        self.unpack_more(packed)

    def unpack_more(self, packed: dict[str, Any]) -> None:  # noqa: B027 - most lanes keep nothing more
        """The inverse of `pack_more`."""

    def pack_whole(self) -> bytes:
        """What a kind of lane keeps besides slots, written at every checkpoint; empty if nothing."""
        return b""

    def unpack_whole(self, value: bytes) -> None:  # noqa: B027 - most lanes keep nothing more
        """The inverse of `pack_whole`."""

    def prune(self) -> None:
        """Drop what can no longer matter."""
        for judge in self.judges.values():
            judge.prune(self.columns["judged"])

    def header(self) -> dict[str, Any]:
        """What is not in chunks."""
        return {"late": self.late, "refused": self.refused.pack(), "slots": self.columns.count}

    def restore_header(self, header: dict[str, Any]) -> None:
        """The inverse of `header`."""
        self.late, self.refused = header["late"], Refusals.unpack(header["refused"])


def _part(part_of: Callable[[str], bytes], prefix: str, name: str) -> bytes:
    return part_of(f"{prefix}/{name}")


def _derivation_name(key: str) -> str:
    return stable_id("derivation", key)


def _shortest_silence(judged: Judged) -> int | None:
    """After how long some rule wants to hear of a silent series; None where none does."""
    rules = [version.rule for _, versions in judged.values() for version in versions]
    heeding = [rule.no_data_after for rule in rules if rule.on_no_data != "keep" and rule.condition != "absence"]
    return min(heeding, default=None)
