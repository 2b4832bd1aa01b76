"""`tocsin sim`: runs the stages under faults that a seed draws, and holds them to the invariants."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli.failures import Failure, wrong_usage
from tocsin.cli.options import command
from tocsin.cli.printing import remark

if TYPE_CHECKING:
    from tocsin.engine.simulation.schedule import Outcome

_BATCH = 250
_TOLD_EVERY_S = 10.0


def register(app: typer.Typer) -> None:
    """Adds the command to the root."""
    command(app, "tocsin sim --seed 123 --trace", "tocsin sim --seeds 10000 --jobs 2")(sim)


def sim(
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Run this seed alone.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, metavar="COUNT", help="Run so many seeds.")] = 1_000,
    first: Annotated[int, typer.Option("--from", min=0, metavar="N", help="The first of them.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes to run them in.")] = 1,
    trace: Annotated[bool, typer.Option("--trace", help="Print the schedule, step by step; with --seed.")] = False,
) -> None:
    """Run all stages in one process, on a simulated Kafka, under crashes, pauses, replays, rebalances and bad input.

    The seed draws rules, series, partitions and faults; then the faults stop, and every alert and notification must be
    there, once. The first violation ends the run, is printed in one line, and repeats exactly.
    """
    from tocsin.engine.simulation.schedule import run

    if trace and seed is None:
        wrong_usage("--trace: which seed? add --seed N")
    if seed is not None:
        outcome = run(seed, print if trace else None)
        _refuse(outcome)
        print(outcome.line())
        return
    began_s = time.monotonic()
    done = 0
    told_s = began_s
    for outcome in _outcomes(first, seeds, jobs):
        _refuse(outcome)
        done += 1
        if time.monotonic() - told_s > _TOLD_EVERY_S:
            told_s = time.monotonic()
            remark(f"{done} of {seeds}")
    minutes = (time.monotonic() - began_s) / 60
    print(f"{done} seeds from {first} without a violation, {done / minutes:,.0f} a minute")


def _refuse(outcome: Outcome) -> None:
    if outcome.invariant:
        raise Failure(outcome.line())


def _outcomes(first: int, seeds: int, jobs: int) -> Iterator[Outcome]:
    """In order of seed, whatever the number of processes."""
    batches = (range(begin, min(begin + _BATCH, first + seeds)) for begin in range(first, first + seeds, _BATCH))
    if jobs == 1:
        for batch in batches:
            yield from _batch(batch)
        return
    with ProcessPoolExecutor(jobs) as pool:
        while waiting := list(islice(batches, 4 * jobs)):
            for found in pool.map(_batch, waiting):
                yield from found
                if found[-1].invariant:
                    pool.shutdown(cancel_futures=True)
                    return


def _batch(seeds: range) -> list[Outcome]:
    """The outcomes of some seeds, up to the first violation."""
    from tocsin.engine.simulation.schedule import run

    found = []
    for seed in seeds:
        found.append(run(seed))
        if found[-1].invariant:
            break
    return found
