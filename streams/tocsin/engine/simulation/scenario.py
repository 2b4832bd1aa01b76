"""What a seed draws before anything runs: rules, series, channels, partitions, and how producers write."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from tocsin.engine.memory_log import partition_of
from tocsin.engine.simulation.chance import Chance
from tocsin.engine.simulation.routes import Document, draw_routing
from tocsin.engine.simulation.swarm import Swarm, draw_swarm
from tocsin.engine.watermark import Timing
from tocsin.schemas.channel import Channel
from tocsin.schemas.labels import alert_fingerprint, series_id, series_key
from tocsin.schemas.rule import Rule

BEGIN_MS: Final = 1_700_000_000_000
METRIC: Final = "m"
GROUPS: Final = ("evaluate", "route", "deliver")
# Times that make an outcome a function of the input alone: a series is never silent for so long while it is written
# that a rule may count it as silent, and no sample is further behind than what is waited for. A tick may add a stride
# too much to listened time, and a clock that jumps another one each time, so those who jump take small strides.
STRIDE_MS, JUMPY_STRIDE_MS = 60_000, 14_000
QUIET_MS: Final = 64_000
IDLE_MS: Final = 4_000
NO_DATA_MS: Final = 300_000
SHORT_REST_MS, LONG_REST_MS = 180_000, 480_000
LULLS_MS: Final = (150_000, 299_000, 301_000, 400_000)
MAX_AHEAD_MS: Final = 600_000
_POOL: Final = 600
_RULES: Final = 120  # with each choice of traits

_DURATIONS = (0, 0, 400, 1_500, 3_000)
_COOLDOWNS = (0, 0, 0, 2_000, 10_000, 40_000)
_KEEPS = (0, 0, 0, 800, 2_500)
_WINDOWS: tuple[dict[str, Any], ...] = (
    {"size": "1s"},
    {"size": "3s"},
    {"type": "hopping", "size": "4s", "step": "1s"},
    {"type": "sliding", "size": "2s"},
    {"type": "count", "samples": 3},
    {"type": "session", "gap": "900ms"},
)
_AGGREGATIONS = ("avg", "min", "max", "sum", "count", "first", "last")
_HABITS: Final = {"memory": "2m", "relearn_after": "1m"}
_DETECTORS: Final = ("ensemble", "ensemble", "change_point", "extremes", "holt_winters", "neighbours")
_LEARNING: tuple[dict[str, Any], ...] = (
    *({"condition": "baseline", "threshold": 1.5, "baseline": _HABITS},) * 2,
    *({"condition": "anomaly", "anomaly": {"rarer_than": "50ms", "detector": one, **_HABITS}} for one in _DETECTORS),
)
_TRAITS: Final = {"windows": 50, "silence": 45, "learning": 3}  # of the rules of a schedule: how often in a hundred
_COUNTS: Final = (1, 1, 1, 1, 2, 3)
_NAMES = ("c0", "c1", "c2", "webhook", "console", "nowhere")
_PIECES = (300, 2_000, 500_000, 500_000)  # bytes of an entry's pieces


@dataclass(frozen=True, slots=True)
class Series:
    """A series: its labels, as spelt in messages, and where a producer with keys would put it."""

    labels: dict[str, str]
    spelling: bytes
    identity: bytes
    keyed: bool
    source: int
    partition: int


@dataclass(slots=True)
class Scenario:
    """One configuration. `late_ms` is how far samples may be behind; `immediate` says that every series lies on one
    partition in order of arrival, so that nothing need be waited for. `has_lulls` says that producers stop for a while
    now and then, for so long that silence may be found in the samples; rules change then only when it has been told.
    One that `is_about_routes` has few samples, and much of everything that comes behind them."""

    seed: int
    sources: int
    partitions: int
    late_ms: int
    immediate: bool
    series: list[Series]
    rules: list[Rule]
    channels: list[Channel]
    processes: dict[str, int]  # of each group, at first
    piece_bytes: int
    timing: Timing
    routing: Document | None
    is_about_routes: bool
    swarm: Swarm
    max_ahead_ms: int = MAX_AHEAD_MS
    may_jump: bool = False
    has_lulls: bool = False
    clock_error_ms: int = 0

    @property
    def fingerprints(self) -> dict[str, tuple[str, int]]:
        """Fingerprints of the alerts that its rules may raise: rule, and number of the series."""
        return _fingerprints(len(self.series))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that take part."""
        return tuple(self.processes)

    @property
    def learns(self) -> bool:
        """Whether a rule learns what is ordinary."""
        return any(rule.learns for rule in self.rules)

    @property
    def is_instant(self) -> bool:
        """Whether every sample is judged as it comes, and alone: then rules may change at any moment."""
        waits = (rule.window or rule.lateness_ms or rule.condition == "absence" for rule in self.rules)
        return self.immediate and not self.has_lulls and not self.learns and not any(waits)


def draw(seed: int, chance: Chance) -> Scenario:
    """The configuration of a seed: what it is about, and which stages it has."""
    kind = chance.below(100)
    if kind < 30:
        return _about_samples(seed, chance, GROUPS[:1] if kind < 25 else GROUPS)
    first = 1 if kind < 88 else 0  # by hand alone, or samples as well
    return _about_routes(seed, chance, GROUPS[first : 3 if chance.happens(50) else 2])


def _about_samples(seed: int, chance: Chance, groups: tuple[str, ...]) -> Scenario:
    sources = chance.one_of((1, 1, 2, 3))
    partitions = chance.one_of((1, 1, 1, 1, 1, 2, 2, 3))
    style = chance.one_of(("keyed", "keyed", "unkeyed", "mixed"))
    late_ms = chance.one_of((0, 0, 0, 1_000, 3_000))
    series = [
        _series(number, style, sources, partitions, chance) for number in range(chance.one_of((1, 1, 2, 2, 3, 4)))
    ]
    immediate = sources == 1 or all(one.keyed for one in series)
    may_jump = immediate and not late_ms and chance.happens(15)
    traits = tuple(trait for trait, percent in _TRAITS.items() if chance.happens(percent))
    rules = [_rule(f"r{index}", late_ms, immediate, traits, chance) for index in range(chance.one_of(_COUNTS))]
    return Scenario(
        seed,
        sources,
        partitions,
        late_ms,
        immediate,
        series,
        rules,
        [_channel(index, chance) for index in range(chance.between(1, 3))],
        {group: chance.one_of((1, 1, 1, 2, 3)) for group in groups},
        chance.one_of(_PIECES),
        Timing(idle_ms=IDLE_MS, quiet_ms=QUIET_MS, stride_ms=JUMPY_STRIDE_MS if may_jump else STRIDE_MS),
        draw_routing(chance) if len(groups) > 1 and chance.happens(15) else None,
        is_about_routes=False,
        swarm=draw_swarm(chance, groups, has_routes=False),
        may_jump=may_jump,
        has_lulls="silence" in traits and chance.happens(50),
    )


def _about_routes(seed: int, chance: Chance, groups: tuple[str, ...]) -> Scenario:
    partitions = chance.one_of((1, 1, 2))
    series = [_series(number, "keyed", 1, partitions, chance) for number in range(chance.between(1, 2))]
    return Scenario(
        seed,
        1,
        partitions,
        0,
        True,
        series,
        [plain(f"r{index}", chance.below(_POOL)) for index in range(chance.one_of((1, 1, 2)))],
        [_channel(index, chance) for index in range(chance.between(1, 3))],
        {group: chance.one_of((1, 2, 2, 2, 3)) if group == "route" else 1 for group in groups},
        chance.one_of(_PIECES),
        Timing(idle_ms=IDLE_MS, quiet_ms=QUIET_MS, stride_ms=STRIDE_MS),
        draw_routing(chance) if chance.happens(85) else None,
        is_about_routes=True,
        swarm=draw_swarm(chance, groups, has_routes=True),
    )


@lru_cache
def _labels(number: int) -> dict[str, str]:
    return {"s": str(number), "zone": "ab"[number % 2]}


@lru_cache
def _fingerprints(count: int) -> dict[str, tuple[str, int]]:
    """Of the alerts that rules may raise on so many series: which rule, and which series."""
    pairs = [(rule, number) for rule in ("r0", "r1", "r2") for number in range(count)]
    return {alert_fingerprint(rule, _labels(number)): (rule, number) for rule, number in pairs}


@lru_cache
def _series_of(number: int, keyed: bool, sources: int, partitions: int) -> Series:
    labels = _labels(number)
    identity = series_id(series_key(METRIC, labels))
    source = partition_of(str(number).encode(), sources)
    partition = int.from_bytes(identity[:8], "little") % partitions
    return Series(labels, orjson.dumps(labels), identity, keyed, source, partition)


def _series(number: int, style: str, sources: int, partitions: int, chance: Chance) -> Series:
    keyed = style == "keyed" or (style == "mixed" and chance.happens(50))
    return _series_of(number, keyed, sources, partitions)


def _rule(rule_id: str, late_ms: int, immediate: bool, traits: tuple[str, ...], chance: Chance) -> Rule:
    waits = late_ms and not (immediate and chance.happens(30))
    return pooled(rule_id, late_ms if waits else 0, traits, chance.below(_RULES))


@lru_cache(maxsize=20_000)
def pooled(rule_id: str, late_ms: int, traits: tuple[str, ...], number: int) -> Rule:
    """One of a fixed set of rules: making them anew for each seed would take longer than running them."""
    chance = Chance(number * 1_000 + 7)
    body: dict[str, Any] = {
        "id": rule_id,
        "metric_type": METRIC,
        "allowed_lateness": f"{late_ms}ms",
        "cooldown": f"{chance.one_of(_COOLDOWNS)}ms",
        "keep_firing_for": f"{chance.one_of(_KEEPS)}ms",
        "duration": f"{chance.one_of(_DURATIONS)}ms",
        "on_no_data": chance.one_of(("keep", "ok", "alert")) if "silence" in traits else "keep",
        "no_data_after": f"{NO_DATA_MS}ms",
        "notifications": sorted({chance.one_of(_NAMES) for _ in range(chance.between(0, 3))}),
        "annotations": {"summary": "{{ value }} over {{ threshold }}"} if chance.happens(30) else {},
    }
    if chance.happens(15):
        body["match"] = ["zone=a"]
    if "silence" in traits and chance.happens(15):
        absence = {"condition": "absence", "absence": {"after": f"{NO_DATA_MS}ms"}, "on_no_data": "keep"}
        return Rule.model_validate(body | absence)
    if "windows" in traits and chance.happens(80):
        body |= {"window": chance.one_of(_WINDOWS), "aggregation": chance.one_of(_AGGREGATIONS)}
        body["require_full_window"] = chance.happens(15) and body["window"].get("type") in (None, "hopping")
    return Rule.model_validate(body | (chance.one_of(_LEARNING) if "learning" in traits else _condition(chance)))


@lru_cache(maxsize=20_000)
def plain(rule_id: str, number: int) -> Rule:
    """One of a fixed set of rules of which every sample is judged at once, most of them for the route tree."""
    chance = Chance(number * 1_000 + 13)
    body: dict[str, Any] = {
        "id": rule_id,
        "metric_type": METRIC,
        "operator": "gt",
        "duration": f"{chance.one_of((0, 0, 400))}ms",
        "on_no_data": "keep",
        "notifications": sorted({chance.one_of(_NAMES) for _ in range(2)}) if chance.happens(30) else [],
    }
    threshold = chance.between(0, 2)
    severities = ("warning", "error") if chance.happens(40) else (chance.one_of(("info", "warning", "error")),)
    levels = [{"severity": severity, "threshold": threshold + 2 * n} for n, severity in enumerate(severities)]
    return Rule.model_validate(body | {"levels": levels})


def _condition(chance: Chance) -> dict[str, Any]:
    if chance.happens(15):
        lower = chance.between(-3, 2)
        return {"condition": "range", "lower": lower, "upper": lower + chance.between(1, 4),
                "inside": chance.happens(30)}  # fmt: skip
    operator = chance.one_of(("gt", "gt", "gte", "lt", "lte", "eq", "neq"))
    sign = {"gt": 1, "gte": 1, "lt": -1, "lte": -1}.get(operator, 0)
    threshold = chance.between(-1, 3)
    if sign and chance.happens(35):
        levels = [
            {"severity": severity, "threshold": threshold + sign * step, "recovery_threshold": threshold - sign * room}
            | ({"duration": f"{chance.one_of(_DURATIONS)}ms"} if chance.happens(30) else {})
            for severity, step, room in (("info", 0, chance.below(2)), ("error", 2, chance.below(3)))
        ]
        return {"operator": operator, "levels": levels}
    body: dict[str, Any] = {"operator": operator, "threshold": threshold}
    if sign and chance.happens(40):
        body["recovery_threshold"] = threshold - sign * chance.below(3)
    return body


def changed(rule: Rule, chance: Chance) -> Rule:
    """The same rule with other figures, so that its state goes on."""
    fields: dict[str, Any] = {
        "cooldown": chance.one_of(_COOLDOWNS),
        "keep_firing_for": chance.one_of(_KEEPS),
        "duration": chance.one_of(_DURATIONS),
    }
    if rule.threshold is not None and rule.recovery_threshold is None:
        fields["threshold"] = float(chance.between(0 if rule.learns else -1, 3))  # no distance is negative
    chosen = chance.one_of(sorted(fields))
    return rule.model_copy(update={chosen: fields[chosen]})


def _channel(index: int, chance: Chance) -> Channel:
    return _channel_of(index, chance.one_of(("webhook", "console")), chance.happens(85), chance.happens(80))


@lru_cache
def _channel_of(index: int, kind: str, enabled: bool, sends_resolved: bool) -> Channel:
    return Channel(id=f"c{index}", type=kind, config={"enabled": enabled, "send_resolved": sends_resolved})
