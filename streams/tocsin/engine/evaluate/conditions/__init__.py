"""Conditions: how a value is judged. One file and one line of this table each."""

from typing import Final

from tocsin.engine.evaluate.condition import Condition
from tocsin.engine.evaluate.conditions import band, held, reached, threshold

CONDITIONS: Final[dict[str, type[Condition]]] = {
    "threshold": threshold.Threshold,
    "range": band.Range,
    "change": threshold.Threshold,
    "baseline": threshold.Threshold,
    "trend": threshold.Threshold,
    "ratio": threshold.Threshold,
    "burn_rate": reached.Reached,
    "absence": held.Held,
    "anomaly": held.Held,
    "peers": threshold.Threshold,
    "composite": held.Held,
}
