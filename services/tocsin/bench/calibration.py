"""How fast this machine is at this moment, so that figures of different days can be compared.

A fixed piece of work of the kind that the hot path is made of: JSON decoded by orjson, a dictionary asked for each of
its labels, columns sorted, summed and compared by numpy. `REFERENCE_MS`, 7.9 ms of CPU, is what it takes while the
machine is as fast as when it judged one rule at 1.82 µs a sample (2026-11-24): 2.0 means that it takes twice as long.
"""

import time
from typing import Final

import numpy as np
import orjson

REFERENCE_MS: Final = 7.9
_ROUNDS: Final = 9
_SAMPLES: Final = 10_000
_SERIES: Final = 1_000


def slowness() -> float:
    """CPU time of the fixed work, as a multiple of the reference: the median of some rounds."""
    messages = [
        b'{"name":"response_time","value":%d.5,"timestamp":%d,"labels":{"host":"host-%06d"},"unit":"ms"}'
        % (index * 7_919 % 1_000, 1_764_000_000_000 + index, index % _SERIES)
        for index in range(_SAMPLES)
    ]
    return float(np.median([_cpu_ms(messages) for _ in range(_ROUNDS)])) / REFERENCE_MS


def _cpu_ms(messages: list[bytes]) -> float:
    began = time.process_time()
    known: dict[tuple[str, str], int] = {}
    samples = [orjson.loads(message) for message in messages]
    number = np.array([known.setdefault((s["name"], s["labels"]["host"]), len(known)) for s in samples])
    at_ms = np.array([s["timestamp"] for s in samples], np.int64)
    values = np.array([s["value"] for s in samples], np.float64)
    for _ in range(20):
        order = np.lexsort((at_ms, number))
        sums = np.bincount(number[order], weights=values[order])
        assert len(np.flatnonzero(sums[:, None] > np.arange(0.0, 5_000.0, 50.0))) > 0
    return (time.process_time() - began) * 1e3
