"""The benchmark of the whole path: what it costs here, beside what it must cost."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from tocsin.agents.clock import clock_ms
from tocsin.bench import latency, neighbours, storm
from tocsin.bench.calibration import slowness
from tocsin.bench.load import Load
from tocsin.bench.many import RULES, kept, steady
from tocsin.bench.scenario import Bench, Cost, mean_rules
from tocsin.kafka.embedded import EmbeddedKafka

_SERIES: Final = 1_000
_RATE: Final = 10_000
_PACKAGES: Final = ("faust-streaming", "aiokafka", "numpy", "msgspec", "rocksdict")


@dataclass(frozen=True, slots=True)
class _Extent:
    """How much is measured: samples, series, turns, and seconds."""

    samples: int
    many: int
    checkpoint_s: int
    latency_s: int
    turns: int
    turn_s: float
    storm: int
    storm_s: int
    edits_s: int

    @property
    def alerts(self) -> int:
        """Pairs of one of many series and a rule that its values reach."""
        return self.many * 95 // 100

    @property
    def edits(self) -> int:
        """A thousand in a minute."""
        return 1_000 * self.edits_s // 60


_FULL: Final = _Extent(2_000_000, 100_000, 10, 40, 5, 3.0, 100_000, 10, 60)
_QUICK: Final = _Extent(200_000, 10_000, 2, 8, 2, 1.0, 2_000, 2, 6)
_MEASURES: Final[dict[str, tuple[str, str]]] = {
    "one_rule_cpu_us": ("1 rule: CPU a sample, µs", "3.0, then 2.0"),
    "hundred_rules_cpu_us": ("100 rules: CPU a sample, µs", "1.5 times that, then 2.6"),
    "unkeyed_cpu_us": ("1 rule, unkeyed producer: CPU a sample, µs", ""),
    "arrays_cpu_us": ("arrays of 100: CPU a sample, µs", "1.0"),
    "one_rule_per_s": ("1 rule: samples a second", "500,000"),
    "hundred_rules_per_s": ("100 rules: samples a second", ""),
    "arrays_per_s": ("arrays of 100: samples a second", "1,000,000"),
    "few_series_cpu_us": (f"{RULES} rules on {_SERIES:,} series: CPU a sample, µs", ""),
    "many_series_cpu_us": (f"{RULES} rules on {{many:,}} series: CPU a sample, µs", ""),
    "many_series_ratio": ("times that of 1,000 series", "1.5"),
    "new_series_cpu_us": ("a series' first sample: CPU, µs", ""),
    "onset_cpu_us": ("while {alerts:,} alerts begin: CPU a sample, µs", ""),
    "many_series_kib": ("memory a series, KiB", "2"),
    "checkpoint_percent": ("checkpoints of these series: share of CPU, %", "15"),
    "restart_s": ("kill -9 to the next verdict, with these series, s", "10"),
    "rss_mib": ("memory of evaluate, MiB", ""),
    "alert_p50_ms": ("metric to alert at 10,000/s, p50, ms", "25"),
    "alert_p99_ms": ("metric to alert at 10,000/s, p99, ms", "150, then 80"),
    "webhook_p50_ms": ("metric to webhook at 10,000/s, p50, ms", ""),
    "webhook_p99_ms": ("metric to webhook at 10,000/s, p99, ms", "200"),
    "neighbours_alone_ms": ("notification to webhook, no other channel, p99 (median of {turns} turns), ms", ""),
    "neighbours_well_ms": ("beside 16 other channels, ms", ""),
    "neighbours_misbehaving_ms": ("beside 16 whose receivers misbehave, ms", ""),
    "neighbours_percent": ("by how much longer for the misbehaviour, %", "10"),
    "neighbours_noise_percent": ("by how much it differs from turn to turn, %", ""),
    "neighbours_lost": ("of these notifications never arrived", "0"),
    "storm_alerts_s": (
        "a storm of {storm:,} alerts within {storm_s} s: from its first sample to the last alert, s",
        "15",
    ),
    "storm_first_critical_s": ("critical ones in it, one in a thousand: sample to webhook, the first, s", "5"),
    "storm_worst_critical_s": ("the slowest of these, s", ""),
    "storm_told_s": ("until a grouped notification speaks of all of them, s", ""),
    "storm_route_cpu_us": ("CPU of route for each of these alerts, µs", ""),
    "storm_lost": ("alerts that never came", "0"),
    "calm_cpu_percent": ("100 rules at 10,000/s: CPU of evaluate, % of a core", ""),
    "edits_cpu_percent": ("the same while one is edited 17 times a second", ""),
    "edits_grown_mib": ("by how much evaluate grows in these {edits:,} edits, MiB", ""),
    "edits_p99_ms": ("metric to alert meanwhile, p99, ms", ""),
    "edits_lost": ("probes that never arrived meanwhile", "0"),
    "lost": ("probes that never arrived", "0"),
    "slowness_before": ("this machine: times slower than the reference", ""),
    "slowness_after": ("the same at the end", ""),
}


def run(*, quick: bool, json_file: Path | None) -> None:
    """Measure, print a table, and write JSON. Raises KafkaStartError."""
    console = Console()
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder,
        console.status("starting Kafka ...") as status,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        extent = _QUICK if quick else _FULL
        figures = asyncio.run(_figures(Bench(kafka.bootstrap_servers, Path(folder)), extent, status.update))
    about = _about(quick, time.monotonic() - began)
    console.print(_table(figures, extent))
    console.print(" · ".join(f"{name} {value}" for name, value in about.items() if name != "versions"), style="dim")
    if json_file is not None:
        written = {"about": about, "figures": figures}
        json_file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


async def _figures(bench: Bench, extent: _Extent, say: Callable[[str], None]) -> dict[str, float]:
    before = {"slowness_before": round(slowness(), 2)}
    figures = await _few_series(bench, extent.samples, say)
    figures |= await _many_series(bench, extent, say)
    figures |= await _latencies(bench, extent.latency_s, say)
    figures |= await _neighbours(bench, extent, say)
    figures |= await _storm(bench, extent, say)
    figures |= await _edits(bench, extent, say)
    return figures | before | {"slowness_after": round(slowness(), 2)}


async def _few_series(bench: Bench, samples: int, say: Callable[[str], None]) -> dict[str, float]:
    now_ms = clock_ms()
    plain = Load(samples, _SERIES, now_ms)
    say("1 rule ...")
    one = await _cost(bench, 1, plain)
    say("100 rules ...")
    hundred = await _cost(bench, 100, plain)
    say("1 rule, unkeyed ...")
    unkeyed = await _cost(bench, 1, Load(samples, _SERIES, now_ms, keyed=False))
    say("arrays of 100 ...")
    arrays = await _cost(bench, 1, Load(2 * samples, _SERIES, now_ms, per_message=100))
    return {
        "one_rule_cpu_us": round(one.cpu_us, 3),
        "hundred_rules_cpu_us": round(hundred.cpu_us, 3),
        "unkeyed_cpu_us": round(unkeyed.cpu_us, 3),
        "arrays_cpu_us": round(arrays.cpu_us, 3),
        "one_rule_per_s": round(one.rate),
        "hundred_rules_per_s": round(hundred.rate),
        "arrays_per_s": round(arrays.rate),
        "rss_mib": round(max(one.rss_mib, hundred.rss_mib), 1),
    }


async def _many_series(bench: Bench, extent: _Extent, say: Callable[[str], None]) -> dict[str, float]:
    say(f"{RULES} rules on {_SERIES:,} series ...")
    few = await steady(bench, _SERIES, extent.samples)
    say(f"{RULES} rules on {extent.many:,} series ...")
    crowd = await steady(bench, extent.many, max(extent.samples, 5 * extent.many))
    say("checkpoints ...")
    saved = await kept(bench, extent.many, interval_s=extent.checkpoint_s)
    return {
        "few_series_cpu_us": round(few.cpu_us, 3),
        "many_series_cpu_us": round(crowd.cpu_us, 3),
        "many_series_ratio": round(crowd.cpu_us / few.cpu_us, 2),
        "new_series_cpu_us": round(crowd.first_us, 1),
        "onset_cpu_us": round(crowd.onset_us, 3),
        "many_series_kib": round((crowd.rss_mib - few.rss_mib) * 1_024 / (extent.many - _SERIES), 2),
        "checkpoint_cpu_s": round(saved.checkpoint_s, 2),
        "checkpoint_percent": round(saved.checkpoint_percent, 1),
        "restart_s": round(saved.restart_s, 1),
    }


async def _latencies(bench: Bench, seconds: int, say: Callable[[str], None]) -> dict[str, float]:
    say(f"latency at {_RATE:,} samples a second ...")
    async with bench.scenario([latency.PROBE, *mean_rules(1)]) as scenario:
        found = await latency.measure(scenario, _RATE, seconds)
    return {
        "alert_p50_ms": round(latency.percentile(found.alert_ms, 50), 1),
        "alert_p99_ms": round(latency.percentile(found.alert_ms, 99), 1),
        "webhook_p50_ms": round(latency.percentile(found.webhook_ms, 50), 1),
        "webhook_p99_ms": round(latency.percentile(found.webhook_ms, 99), 1),
        "lost": found.lost,
        "latency_rate_per_s": round(found.rate),
    }


async def _neighbours(bench: Bench, extent: _Extent, say: Callable[[str], None]) -> dict[str, float]:
    say("receivers that misbehave ...")
    found = await neighbours.measure(bench, extent.turns, extent.turn_s)
    return {
        "neighbours_alone_ms": round(neighbours.p99_ms(found.alone), 1),
        "neighbours_well_ms": round(neighbours.p99_ms(found.well), 1),
        "neighbours_misbehaving_ms": round(neighbours.p99_ms(found.misbehaving), 1),
        "neighbours_percent": round(found.change_percent, 1),
        "neighbours_noise_percent": round(found.noise_percent, 1),
        "neighbours_lost": found.lost,
    }


async def _storm(bench: Bench, extent: _Extent, say: Callable[[str], None]) -> dict[str, float]:
    series = extent.storm
    say(f"a storm of {series:,} alerts ...")
    found = await storm.measure(bench, series, extent.storm_s)
    critical_s = found.critical_s or [float("nan")]
    return {
        "storm_series": series,
        "storm_alerts_s": round(found.alerts_s, 1),
        "storm_first_critical_s": round(critical_s[0], 2),
        "storm_worst_critical_s": round(critical_s[-1], 2),
        "storm_told_s": round(found.told_s, 1),
        "storm_route_cpu_us": round(found.used["route"].cpu_s / series * 1e6, 1),
        "storm_lost": found.lost,
    }


async def _edits(bench: Bench, extent: _Extent, say: Callable[[str], None]) -> dict[str, float]:
    say("edits ...")
    calm, edited = await _edited(bench, 0, extent.edits_s), await _edited(bench, extent.edits, extent.edits_s)
    return {
        "calm_cpu_percent": round(calm.cpu_percent, 1),
        "edits_cpu_percent": round(edited.cpu_percent, 1),
        "edits_grown_mib": round(edited.grown_mib - calm.grown_mib, 1),
        "edits_p99_ms": round(latency.percentile(edited.alert_ms, 99), 1),
        "edits_lost": edited.lost,
    }


async def _cost(bench: Bench, rules: int, load: Load) -> Cost:
    async with bench.scenario(mean_rules(rules)) as scenario:
        return await scenario.measure(load)


async def _edited(bench: Bench, edits: int, seconds: int) -> latency.Latencies:
    """A rule among 100, edited so often within that time."""
    rule = mean_rules(1)[0]
    revisions = [rule.model_copy(update={"threshold": 900.0 + n % 7}) for n in range(edits)]
    async with bench.scenario([latency.PROBE, *mean_rules(100)]) as scenario:
        return await latency.measure(scenario, _RATE, seconds, revisions)


def _table(figures: dict[str, float], extent: _Extent) -> Table:
    table = Table("", "here", "must")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (text, must) in _MEASURES.items():
        table.add_row(_worded(text, extent), f"{figures[name]:,.10g}", must)
    return table


def _worded(text: str, extent: _Extent) -> str:
    return text.format(
        many=extent.many, alerts=extent.alerts, turns=extent.turns, storm=extent.storm, storm_s=extent.storm_s,
        edits=extent.edits,
    )  # fmt: skip


def _about(quick: bool, seconds: float) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
        "quick": quick,
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
