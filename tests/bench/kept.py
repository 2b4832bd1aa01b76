"""What checkpoints of rules that learn cost: OMP_NUM_THREADS=1 python -m tests.bench.kept

One partition in this process, past the warm-up, each series with a sample every 15 s: CPU of judging a minute, and of
the checkpoints of that minute, packed as they are sent; their bytes; CPU of restoring the last one. With `--kafka` the
service itself, on an embedded broker.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tocsin.bench.many import kept
from tocsin.bench.scenario import Bench
from tocsin.engine.checkpoint_table import Checkpoints
from tocsin.engine.evaluate.checkpoint import checkpoint, restore
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step
from tocsin.engine.frame import Frame, SourceProgress, Tick
from tocsin.engine.pieces import PieceTable
from tocsin.engine.reigns import FIRST
from tocsin.engine.watermark import Timing
from tocsin.kafka.embedded import EmbeddedKafka
from tocsin.schemas.codec import encode_document
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.rule import Rule

EVERY_S, STEPS_A_MINUTE = 15, 4
WARM_MINUTES, MINUTES = 150, 4
RULES: dict[str, dict[str, Any]] = {
    "anomaly": {"condition": "anomaly"},
    "baseline": {"condition": "baseline", "threshold": 6},
}


class Store:
    """Entries in memory; `bytes` were written."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self._reigns: dict[bytes, set[bytes]] = defaultdict(set)  # of each entry: names under which it lies
        self.bytes = 0

    def read(self, _partition: int, key: bytes) -> bytes | None:
        """An entry."""
        return self.entries.get(key)

    def keys(self, _partition: int, prefix: bytes) -> list[bytes]:
        """Names of an entry."""
        return sorted(self._reigns[prefix])

    async def write(self, _partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        """Write entries."""
        for key, value in entries.items():
            self.bytes += len(key) + len(value or b"")
            names = self._reigns[key[: -len(FIRST)]]
            if value is None:
                self.entries.pop(key, None)
                names.discard(key)
            else:
                self.entries[key] = value
                names.add(key)


class Minutes:
    """Samples of all series, a frame and a tick every 15 s; the first of them an hour before noon."""

    def __init__(self, series: int) -> None:
        self._keys = [series_key("m", {"series": str(number)}) for number in range(series)]
        self._rng, self._series, self._offset = np.random.default_rng(1), series, 0
        self._ends = np.cumsum([len(key) for key in self._keys]).astype(np.uint32)
        self.at_ms = 1_764_500_400_000

    def next(self) -> Iterator[Frame | Tick]:
        """One step."""
        count = self._series
        yield Frame(
            "m", 0, self.at_ms, True, self._offset,
            b"".join(map(series_id, self._keys)), self._ends.tobytes(), b"".join(self._keys),
            np.arange(count, dtype=np.uint32).tobytes(), np.full(count, self.at_ms).tobytes(),
            (100 + self._rng.standard_normal(count)).tobytes(), np.arange(count, dtype=np.uint32).tobytes(),
        )  # fmt: skip
        self._offset += count
        yield Tick(self.at_ms, 1, (SourceProgress("m", 0, self._offset, self.at_ms, 0),), {"m": 1})
        self.at_ms += EVERY_S * 1_000


def grow_old(state: PartitionState) -> None:
    """Profiles as after weeks, which do not pack as empty ones do."""
    rng = np.random.default_rng(2)
    for lane in state.lanes.values():
        for derivation in lane.derivations.values():
            columns = derivation.columns
            for name in ("day", "week", "day_spread"):
                columns[name][:] = rng.standard_normal(columns[name].shape, np.float32)
            for name in ("day_seen", "week_seen"):
                columns[name][:] = rng.integers(10, 20, columns[name].shape)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of CPU."""
    began = time.process_time()
    work()
    return time.process_time() - began


class Partition:
    """One partition under one rule, past its warm-up, and its checkpoints."""

    def __init__(self, kind: str, series: int) -> None:
        body = {"id": "r", "metric_type": "m", "window": {"type": "tumbling", "size": "1m"}, **RULES[kind]}
        self._book = RuleBook()
        self._book.append(0, b"r", encode_document(Rule.model_validate(body)))
        self._state, self._minutes, self._offset = PartitionState(most_series=10**7), Minutes(series), 0
        self.store = Store()
        self._table = Checkpoints(PieceTable(self.store), 0, 1)
        for _ in range(WARM_MINUTES * STEPS_A_MINUTE):
            self.judge()
        grow_old(self._state)
        self.save()

    def judge(self) -> None:
        """Take the next samples of all series."""
        for item in self._minutes.next():
            step(self._state, [item], self._offset, self._book, Timing())
            self._offset += 1

    def save(self) -> None:
        """Write a checkpoint."""
        entries, header = checkpoint(self._state)
        asyncio.run(self._table.write({name: value or None for name, value in entries.items()}, header))

    def restore(self) -> None:
        """Read it back."""
        restored = restore(Checkpoints(PieceTable(self.store), 0, 2).read)
        assert restored.offset == self._state.offset


def print_costs(kind: str, series: int) -> None:
    """A row of the table for each interval between checkpoints."""
    partition = Partition(kind, series)
    store, whole_mib = partition.store, partition.store.bytes / 2**20
    for interval_s in (15, 60):
        store.bytes, judging, saving = 0, 0.0, 0.0
        for turn in range(MINUTES * STEPS_A_MINUTE):
            judging += timed(partition.judge)
            if (turn + 1) * EVERY_S % interval_s == 0:
                saving += timed(partition.save)
        seconds = MINUTES * 60
        print(
            f"{kind:9} {series} series: judging {judging / seconds:.1%} of a core; checkpoints every {interval_s} s "
            f"{saving / seconds:.1%}, {store.bytes / 2**20 / MINUTES:.0f} MiB a minute, all of it {whole_mib:.0f} MiB; "
            f"restored in {timed(partition.restore):.1f} s of CPU",
            flush=True,
        )


def print_service(kinds: list[str], series: int) -> None:
    """A row for each kind: every series has had a sample since the last checkpoint."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder) / "kafka") as kafka:
        bench = Bench(kafka.bootstrap_servers, Path(folder))
        for kind in kinds:
            rule = Rule.model_validate({"id": "r", "metric_type": "response_time", **RULES[kind]})
            found = asyncio.run(kept(bench, series, [rule]))
            print(
                f"{kind:9} {series} series: {found.checkpoint_s:.2f} s of CPU a checkpoint, "
                f"ready {found.restart_s:.1f} s after a kill",
                flush=True,
            )


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--series", type=int, default=100_000)
    asked.add_argument("--kinds", nargs="*", default=list(RULES))
    asked.add_argument("--kafka", action="store_true", help="the service: a checkpoint of all, and a restart")
    given = asked.parse_args()
    if given.kafka:
        print_service(given.kinds, given.series)
        return
    for kind in given.kinds:
        print_costs(kind, given.series)


if __name__ == "__main__":
    main()
