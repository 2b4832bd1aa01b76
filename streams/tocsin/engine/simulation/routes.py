"""What a seed draws of routes and silences: trees, timers, inhibitions and times, as users write them."""

from functools import lru_cache
from typing import Any, Final

import orjson

from tocsin.engine.simulation.chance import Chance
from tocsin.schemas.instant import format_instant
from tocsin.schemas.route import ROUTING_ID, Routing

Document = dict[str, Any]
BUSY: Final = ("22:14", "22:16")  # by the clock of the simulation, which begins a moment before
_POOL: Final = 400

_MATCHES: Final = (
    'zone="a"', 'zone="b"', 'severity="error"', 'alertname="r0"', 'alertname="hand"', 'severity=~"warning|error"',
    'by=~"0|2"', 's!="1"',
)  # fmt: skip
_SOURCES: Final = ('severity="error"', 'alertname="r0"', 'zone="a"', 'by="0"', 'alertname=~"r0|hand"')
_TARGETS: Final = ('alertname="hand"', 'zone="b"', 'severity=~"info|warning"', 'alertname!="r0"', 'zone=~"a|b"')
_QUIET: Final = ('zone="a"', 'zone="b"', 'severity="error"', 'alertname="r0"', 'alertname="hand"', 'by="1"')
_GROUPINGS: Final[tuple[list[str], ...]] = ([], ["zone"], ["alertname"], ["..."], ["severity", "zone"])
_CHANNELS: Final = ("c0", "c0", "c1", "c2", "webhook", "console", "nowhere")
_WAITS: Final = (0, 0, 500, 2_000, 5_000)
_INTERVALS: Final = (700, 2_000, 6_000, 20_000)
_REPEATS: Final = (1_500, 5_000, 30_000, 200_000)
_HOLDS: Final = (0, 400, 1_500, 5_000)
_LENGTHS: Final = (1_500, 4_000, 15_000, 60_000, 400_000)


def _channels(chance: Chance) -> list[str]:
    return sorted({chance.one_of(_CHANNELS) for _ in range(chance.between(1, 3))})


def _timing(chance: Chance, percent: int) -> Document:
    found: Document = {}
    for name, choices in (("group_wait", _WAITS), ("group_interval", _INTERVALS), ("repeat_interval", _REPEATS)):
        if chance.happens(percent):
            found[name] = f"{chance.one_of(choices)}ms"
    if chance.happens(percent // 3):
        found["resolve_at_once"] = False
    return found


def _route(chance: Chance, match: str, depth: int) -> Document:
    made: Document = {"match": [match]} | _timing(chance, 30)
    if chance.happens(60):
        made["channels"] = _channels(chance)
    if chance.happens(40):
        made["group_by"] = chance.one_of(_GROUPINGS)
    if chance.happens(40):
        made["continue"] = True
    if chance.happens(25):
        made[chance.one_of(("mute_time_intervals", "mute_time_intervals", "active_time_intervals"))] = ["busy"]
    if depth and chance.happens(30):
        made["routes"] = [_route(chance, chance.one_of(_MATCHES), depth - 1)]
    return made


@lru_cache(maxsize=_POOL)
def pooled(number: int) -> Document:
    """One of a fixed set of routings: to check each anew would take longer than to use it."""
    chance = Chance(number * 1_000 + 11)
    root: Document = {"channels": _channels(chance), "group_by": chance.one_of(_GROUPINGS)} | _timing(chance, 95)
    root["routes"] = [_route(chance, match, 1) for match in chance.shuffled(_MATCHES)[: chance.below(4)]]
    made: Document = {"id": ROUTING_ID, "route": root}
    made["time_intervals"] = [{"name": "busy", "time_intervals": [{"times": [dict(zip(_ENDS, BUSY, strict=True))]}]}]
    if chance.happens(60):
        made["inhibit_rules"] = [_inhibition(chance) for _ in range(chance.between(1, 2))]
    if chance.happens(12):
        made["dependencies"] = [{"label": "zone", "needs": {"b": ["a"]}, "hold": f"{chance.one_of(_HOLDS)}ms"}]
    Routing.model_validate(made)
    return made


_ENDS: Final = ("start_time", "end_time")


def _inhibition(chance: Chance) -> Document:
    return {
        "source": [chance.one_of(_SOURCES)],
        "target": [chance.one_of(_TARGETS)],
        "equal": chance.one_of(([], [], ["zone"], ["by"])),
        "hold": f"{chance.one_of(_HOLDS)}ms",
    }


def draw_routing(chance: Chance) -> Document:
    """A routing."""
    return pooled(chance.below(_POOL))


def encoded(document: Document) -> bytes:
    """As it lies on its topic."""
    return orjson.dumps(document)


def draw_silence(chance: Chance, silence_id: str, now_ms: int) -> Document:
    """A silence around a time."""
    begins_ms = now_ms + chance.one_of((-2_000, 0, 0, 0, 1_500))
    made: Document = {"id": silence_id, "match": [chance.one_of(_QUIET)], "starts_at": format_instant(begins_ms)}
    made["ends_at"] = format_instant(begins_ms + chance.one_of(_LENGTHS))
    if chance.happens(20):
        made["ends_with_alert"] = True
    return made
