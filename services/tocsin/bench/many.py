"""What many series cost: when they are first seen, when their alerts begin, in steady state, at checkpoints, and after
a kill."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from tocsin.bench.load import Load
from tocsin.bench.scenario import Bench, Scenario, mean_rules

RULES: Final = 10
_INTERVAL_S: Final = 2  # between two samples of a series: the same however many series there are
_WINDOW_S: Final = 10
_CHECKPOINT_S: Final = 10.0
_SETTINGS: Final = {"TOCSIN_EVALUATE__QUIET_AFTER": "1h"}  # else windows close while the next load is written


@dataclass(frozen=True, slots=True)
class Steady:
    """CPU a sample and memory once every series has been seen and every alert that will fire does."""

    first_us: float  # CPU of a series' first sample
    onset_us: float  # CPU a sample while the first windows close and one pair of rule and series in ten begins to fire
    cpu_us: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Many:
    """Many series, the CPU of one checkpoint of all of them, and how long the next verdict takes after a kill."""

    steady: Steady
    checkpoint_s: float
    restart_s: float

    @property
    def checkpoint_percent(self) -> float:
        """The share of one core that a checkpoint every ten seconds takes."""
        return self.checkpoint_s / _CHECKPOINT_S * 100


class _Timeline:
    """Loads that follow each other in event time, the last of which ends before now."""

    def __init__(self, series: int, samples: int) -> None:
        self.series, self._rate = series, series // _INTERVAL_S
        self.window = series * _WINDOW_S // _INTERVAL_S  # samples
        self.steady = samples // self.window * self.window
        every = 2 * self.window + self.steady + 3 * series
        self._end_ms = time.time_ns() // 1_000_000 - self._lasts_ms(every)

    def _lasts_ms(self, samples: int) -> int:
        return samples * 1_000 // self._rate

    def load(self, samples: int) -> Load:
        """The next one."""
        self._end_ms += self._lasts_ms(samples)
        return Load(samples, self.series, self._end_ms, rate=self._rate)


async def steady(bench: Bench, series: int, samples: int) -> Steady:
    """Samples of some series, each judged by ten rules."""
    async with bench.scenario(mean_rules(RULES), _SETTINGS) as scenario:
        return await _steady(scenario, _Timeline(series, samples))


async def many(bench: Bench, series: int, samples: int) -> Many:
    """As `steady`; then a checkpoint, and a kill with a tail to judge again."""
    async with bench.scenario(mean_rules(RULES), _SETTINGS) as scenario:
        timeline = _Timeline(series, samples)
        found = await _steady(scenario, timeline)
        checkpoint_s = await _checkpoint_s(scenario, timeline, found.cpu_us)
        await scenario.feed(timeline.load(series))
        return Many(found, checkpoint_s, await scenario.restart())


async def _steady(scenario: Scenario, timeline: _Timeline) -> Steady:
    await scenario.start("evaluate")
    first = await scenario.feed(timeline.load(timeline.series))
    onset = await scenario.feed(timeline.load(2 * timeline.window))
    cost = await scenario.feed(timeline.load(timeline.steady))
    return Steady(first.cpu_us, onset.cpu_us, cost.cpu_us, cost.rss_mib)


async def _checkpoint_s(scenario: Scenario, timeline: _Timeline, cpu_us: float) -> float:
    """CPU of the checkpoint that follows samples of every series: what it takes more than judging and idling."""
    every = _CHECKPOINT_S + 1
    cost = await _over(scenario, every, timeline.load(timeline.series))
    idle = await _over(scenario, every, None)
    return max(0.0, cost - idle - cpu_us * timeline.series / 1e6)


async def _over(scenario: Scenario, seconds: float, load: Load | None) -> float:
    """CPU seconds of some seconds, which begin with a load."""
    ended = time.monotonic() + seconds
    before = scenario.usage().cpu_s
    if load:
        await scenario.feed(load)
    await asyncio.sleep(max(0.0, ended - time.monotonic()))
    return scenario.usage().cpu_s - before
