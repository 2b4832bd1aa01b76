"""`tocsin sim`: runs the stages under faults that a seed draws, and holds them to the invariants."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import orjson
import typer

from tocsin.cli.failures import Failure, wrong_usage
from tocsin.cli.options import command
from tocsin.cli.printing import remark

if TYPE_CHECKING:
    from tocsin.engine.simulation.schedule import Outcome

_BATCH = 250
_TOLD_EVERY_S = 10.0
_COLLECT_EVERY = 50_000  # objects: a world is thrown away whole, and looking through it while it runs is wasted


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    examples = "tocsin sim --seed 123 --trace", "tocsin sim --from 30000 --seeds 100000 --record clean.json"
    command(app, *examples)(sim)


class _Batch(NamedTuple):
    """The outcomes of some seeds, up to the first violation, and what they cost."""

    outcomes: list[Outcome]
    cpu_s: float


def sim(
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Run this seed alone.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, metavar="COUNT", help="Run so many seeds.")] = 1_000,
    first: Annotated[int, typer.Option("--from", min=0, metavar="N", help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes to run them in.")] = 1,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="FILE", help="Note how far a range was run, and go on from there."),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print the schedule, step by step; with --seed.")] = False,
) -> None:
    """Run all stages in one process, on a simulated Kafka, under crashes, pauses, replays, rebalances and bad input.

    The seed draws rules, series, partitions and faults; then the faults stop, and every alert and notification must be
    there, once. The first violation ends the run, is printed in one line, and repeats exactly.
    """
    from tocsin.engine.simulation.schedule import run

    if seed is None:
        if trace:
            wrong_usage("--trace: which seed? add --seed N")
        _run_range(range(first, first + seeds), jobs, record)
        return
    outcome = run(seed, print if trace else None)
    _refuse(outcome)
    print(outcome.line())


def _run_range(seeds: range, jobs: int, record: Path | None) -> None:
    begin = _recorded(record, seeds) if record else seeds.start
    began_s = told_s = time.monotonic()
    done, cpu_s, steps, inputs = 0, 0.0, 0, 0
    for batch in _batches(range(begin, seeds.stop), jobs):
        clean = [outcome for outcome in batch.outcomes if not outcome.invariant]
        done, cpu_s = done + len(clean), cpu_s + batch.cpu_s
        steps, inputs = steps + sum(one.steps for one in clean), inputs + sum(one.inputs for one in clean)
        if record:
            _note(record, seeds.start, begin + done)
        _refuse(batch.outcomes[-1])
        if time.monotonic() - told_s > _TOLD_EVERY_S:
            told_s = time.monotonic()
            remark(f"{begin + done - seeds.start} of {len(seeds)}")
    minutes = (time.monotonic() - began_s) / 60
    said = "none was left"
    if done:
        said = f"{steps / done:.0f} steps and {inputs / done:.0f} inputs each, {done / minutes:,.0f} a minute"
        said += f", {60 * done / cpu_s:,.0f} a minute of CPU"
    print(f"{len(seeds)} seeds from {seeds.start} without a violation, {said}")


def _note(record: Path, first: int, follows: int) -> None:
    try:
        record.write_bytes(orjson.dumps({"first": first, "next": follows}) + b"\n")
    except OSError as error:
        wrong_usage(f"--record: {record} cannot be written ({error.strerror}); choose another path")


def _recorded(record: Path, seeds: range) -> int:
    """The first seed of a range that a record does not say was run without a violation."""
    if not record.exists():
        return seeds.start
    try:
        noted = orjson.loads(record.read_bytes())
        first, follows = int(noted["first"]), int(noted["next"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        wrong_usage(f"--record: {record} is not a record of seeds; name another file")
    if first != seeds.start:
        wrong_usage(f"--record: {record} is of seeds from {first}; add --from {first} or name another file")
    return min(max(follows, seeds.start), seeds.stop)


def _refuse(outcome: Outcome) -> None:
    if outcome.invariant:
        raise Failure(outcome.line())


def _batches(seeds: range, jobs: int) -> Iterator[_Batch]:
    """In order of seed, whatever the number of processes."""
    batches = (seeds[begin : begin + _BATCH] for begin in range(0, len(seeds), _BATCH))
    if jobs == 1:
        _collect_seldom()
        yield from map(_batch, batches)
        return
    with ProcessPoolExecutor(jobs, initializer=_collect_seldom) as pool:
        while waiting := list(islice(batches, 4 * jobs)):
            yield from pool.map(_batch, waiting)


def _collect_seldom() -> None:
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def _batch(seeds: range) -> _Batch:
    from tocsin.engine.simulation.schedule import run

    began_s = time.process_time()
    found = []
    for seed in seeds:
        found.append(run(seed))
        if found[-1].invariant:
            break
    return _Batch(found, time.process_time() - began_s)
