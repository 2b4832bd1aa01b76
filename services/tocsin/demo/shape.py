"""The demo's metrics as a function of time: a daily shape, noise, and incidents that come and go."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

SERVICES: Final = ("checkout", "search", "payments", "catalog")
HOSTS: Final = ("a1", "a2", "b1")
_DAY_S: Final = 86_400
_CYCLE_S: Final = 120  # an incident begins in each cycle
_QUIET_S: Final = 15  # at the beginning of a cycle
_LASTS_S: Final = 50


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series."""

    name: str
    value: float
    labels: Mapping[str, str]
    unit: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What is wrong, where; `strength` rises to 1 and falls again."""

    kind: str
    service: str
    host: str
    strength: float


_KINDS: Final = ("slow", "errors", "memory")


def incident_at(elapsed_s: float, seed: int) -> Incident | None:
    """The incident, if any, so many seconds after the demo's start. A function of its arguments alone."""
    cycle, within = divmod(elapsed_s, _CYCLE_S)
    into = within - _QUIET_S
    if not 0 <= into < _LASTS_S:
        return None
    chance = random.Random(f"{seed}/{int(cycle)}")
    kind = _KINDS[int(cycle) % len(_KINDS)]
    strength = min(1.0, into / 5, (_LASTS_S - into) / 5)
    return Incident(kind, chance.choice(SERVICES), chance.choice(HOSTS), strength)


def samples_at(now_s: float, elapsed_s: float, seed: int) -> Iterator[Sample]:
    """Every series' value at a time (epoch seconds); traffic follows the hour of the day."""
    incident = incident_at(elapsed_s, seed)
    traffic = 1 + 0.6 * math.sin(2 * math.pi * (now_s % _DAY_S) / _DAY_S - math.pi / 2)
    for number, service in enumerate(SERVICES):
        for host in HOSTS:
            chance = random.Random(f"{seed}/{service}/{host}/{int(now_s * 10)}")
            here = incident is not None and incident.service == service and incident.host == host
            strength = {incident.kind: incident.strength} if incident is not None and here else {}
            labels = {"service": service, "host": host}
            slow = strength.get("slow", 0.0)
            latency = (90 + 40 * number) * traffic * chance.lognormvariate(0, 0.12) + 1_700 * slow
            yield Sample("response_time", round(latency, 1), labels, "ms")
            rate = 120 * traffic * chance.gauss(1, 0.05) * (1 - 0.4 * slow)
            yield Sample("request_rate", round(max(0.0, rate), 1), labels, "1/s")
            errors = 0.004 * chance.lognormvariate(0, 0.3) + 0.22 * strength.get("errors", 0.0)
            yield Sample("error_ratio", round(errors, 5), labels, "")
            memory = 0.46 + 0.05 * traffic + chance.gauss(0, 0.01) + 0.4 * strength.get("memory", 0.0)
            yield Sample("memory_used", round(min(0.99, memory), 4), labels, "")
