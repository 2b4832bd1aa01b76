"""What a sample costs a detector: OMP_NUM_THREADS=1 python -m tests.bench.cost

CPU time of `look` when all series have a sample in each step, past their warm-up, and the bytes of a series.
"""

from __future__ import annotations

import time

import numpy as np

from tocsin.engine.evaluate.detector import Detector
from tocsin.engine.evaluate.detectors import DETECTORS
from tocsin.engine.evaluate.detectors.seasonal import Seasonal

_WARM, _STEPS = 300, 100


def cost_us(detector: Detector, series: int, interval_s: float) -> float:
    """Microseconds of CPU a sample."""
    rng, every = np.random.default_rng(1), np.arange(series)
    detector.columns.add(series)
    values = 100 + rng.standard_normal((_WARM + _STEPS, series))
    begun = 0.0
    for step, row in enumerate(values):
        if step == _WARM:
            begun = time.process_time()
        detector.look(every, np.full(series, 1e9 + step * interval_s), row)
    return (time.process_time() - begun) / _STEPS / series * 1e6


def main() -> None:
    """Print the table."""
    made: dict[str, type[Detector]] = {**DETECTORS, "cheap profile": Seasonal}
    for name, make in made.items():
        size = sum(array[:1].nbytes for array in make().columns.arrays.values())
        for series in (256, 1024, 4096, 16_384):
            costs = "  ".join(f"{cost_us(make(), series, each):.2f} us at {each:g} s" for each in (60.0, 300.0))
            print(f"{name:14} {series:6} series  {costs}  {size} bytes a series", flush=True)


if __name__ == "__main__":
    main()
