"""A small made-up history: one machine's CPU and a shop's response times over three days, with incidents in them."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
SAMPLES = 3 * 288
RULES = """\
rules:
  - id: cpu_high
    name: CPU is high
    metric_type: cpu
    window: {size: 10m}
    duration: 20m
    levels:
      - {severity: warning, threshold: 70, recovery_threshold: 60}
      - {severity: critical, threshold: 85}
  - id: slow
    name: Responses are slow
    metric_type: response_time
    window: {size: 15m}
    aggregation: p90
    threshold: 900
    severity: error
    labels: {team: shop}
"""


def write(directory: Path) -> None:
    """`cpu.csv` with two columns, `shop.jsonl` in no order, and `rules.yaml`."""
    dice = random.Random(7)
    directory.joinpath("rules.yaml").write_text(RULES, "utf-8")
    with directory.joinpath("cpu.csv").open("w", encoding="utf-8") as file:
        file.write("timestamp,value\n")
        for index in range(SAMPLES):
            day = math.sin((index / 12 - 8) / 24 * 2 * math.pi)
            incident = 80 * max(0.0, 1 - abs(index - 340) / 50)
            at = (BEGIN + index * STEP).strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"{at},{min(40 + 14 * day + dice.gauss(0, 2) + incident, 99):.1f}\n")
    lines = []
    for index in range(SAMPLES):
        for host in ("a1", "a2"):
            slow = 900 if host == "a2" and 600 <= index < 630 else 0
            sample = {
                "name": "response_time", "value": round(dice.lognormvariate(5.6, 0.3) + slow, 1),
                "timestamp": int((BEGIN + index * STEP).timestamp() * 1_000),
                "labels": {"service": "shop", "host": host}, "unit": "ms",
            }  # fmt: skip
            lines.append(json.dumps(sample))
    dice.shuffle(lines)
    directory.joinpath("shop.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
