"""Detectors that an anomaly rule may ask for, by name: one file and one line of this table each, and one line of
`MEASURES` in the schema."""

from typing import Final

from tocsin.engine.evaluate.detectors import change_point, ensemble, extremes, holt_winters, neighbours, rarity

DETECTORS: Final[dict[str, type[rarity.Rarity]]] = {
    "ensemble": ensemble.Ensemble,
    "change_point": change_point.ChangePoint,
    "extremes": extremes.Extremes,
    "holt_winters": holt_winters.HoltWinters,
    "neighbours": neighbours.Neighbours,
}
