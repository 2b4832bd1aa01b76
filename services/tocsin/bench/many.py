"""What many series cost: when they are first seen, when their alerts begin, in steady state, at checkpoints, and after
a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tocsin.agents.clock import clock_ms
from tocsin.bench.load import Load
from tocsin.bench.scenario import Bench, Scenario, mean_rules
from tocsin.schemas.rule import Rule

RULES: Final = 10
_INTERVAL_S: Final = 2  # between two samples of a series: the same however many series there are
_WINDOW_S: Final = 10
_EVERY_S: Final = 10  # as services have it by default
_QUIET: Final = {"TOCSIN_EVALUATE__QUIET_AFTER": "1h"}  # else windows close while the next load is written
# Checkpoints go by the clock: on a busy machine, on which the same work takes longer, more of them would fall into it.
_STEADY: Final = {**_QUIET, "TOCSIN_EVALUATE__CHECKPOINT_INTERVAL": "1h"}


@dataclass(frozen=True, slots=True)
class Steady:
    """CPU a sample without checkpoints, and memory, once every series has been seen and every alert that will fire
    does."""

    first_us: float  # CPU of a series' first sample
    onset_us: float  # CPU a sample while the first windows close and one pair of rule and series in ten begins to fire
    cpu_us: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Kept:
    """CPU of one checkpoint of all series, and how long the next verdict takes after a kill."""

    checkpoint_s: float
    restart_s: float

    @property
    def checkpoint_percent(self) -> float:
        """The share of one core that a checkpoint every ten seconds takes."""
        return self.checkpoint_s / _EVERY_S * 100


class _Timeline:
    """Loads that follow each other in event time, the last of which ends before now."""

    def __init__(self, series: int, samples: int) -> None:
        self.series, self._rate = series, series // _INTERVAL_S
        self.window = series * _WINDOW_S // _INTERVAL_S  # samples
        self._end_ms = clock_ms() - self._lasts_ms(samples + 2 * self.window + 4 * series)

    def _lasts_ms(self, samples: int) -> int:
        return samples * 1_000 // self._rate

    def load(self, samples: int) -> Load:
        """The next one."""
        self._end_ms += self._lasts_ms(samples)
        return Load(samples, self.series, self._end_ms, rate=self._rate)


async def steady(bench: Bench, series: int, samples: int) -> Steady:
    """Samples of some series, each judged by ten rules; whole windows of them."""
    async with bench.scenario(mean_rules(RULES), _STEADY) as scenario:
        timeline = _Timeline(series, samples)
        await scenario.start("evaluate")
        first = await scenario.feed(timeline.load(series))
        onset = await scenario.feed(timeline.load(2 * timeline.window))
        cost = await scenario.feed(timeline.load(samples // timeline.window * timeline.window))
        return Steady(first.cpu_us, onset.cpu_us, cost.cpu_us, cost.rss_mib)


async def kept(bench: Bench, series: int, rules: Sequence[Rule] | None = None, interval_s: int = _EVERY_S) -> Kept:
    """Checkpoints of series whose alerts have begun, one in `interval_s`, then a kill with a tail to judge again."""
    settings = {**_QUIET, "TOCSIN_EVALUATE__CHECKPOINT_INTERVAL": f"{interval_s}s"}
    async with bench.scenario(mean_rules(RULES) if rules is None else rules, settings) as scenario:
        timeline = _Timeline(series, 0)
        await scenario.start("evaluate")
        await scenario.feed(timeline.load(2 * timeline.window))
        costs = []
        for _ in range(2):  # some of a checkpoint may have come before all was judged
            await scenario.feed(timeline.load(series))
            costs.append(await _idle_s(scenario, interval_s + 1))
        checkpoint_s = max(0.0, max(costs) - await _idle_s(scenario, interval_s + 1))
        await scenario.feed(timeline.load(series))
        return Kept(checkpoint_s, await scenario.restart())


async def _idle_s(scenario: Scenario, seconds: float) -> float:
    """CPU seconds while no samples come, for as long as it takes that each partition has its checkpoint."""
    before = scenario.usage().cpu_s
    await asyncio.sleep(seconds)
    return scenario.usage().cpu_s - before
