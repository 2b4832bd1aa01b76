"""Derivations, by the kind of rule that judges them: one file and one line of this table each."""

from typing import Final

from tocsin.engine.evaluate.derivation import Derivation
from tocsin.engine.evaluate.derivations import anomaly, baseline, change, peers, trend

DERIVATIONS: Final[dict[str, type[Derivation]]] = {
    "anomaly": anomaly.Strangeness,
    "baseline": baseline.Deviation,
    "change": change.ChangeOf,
    "peers": peers.Outlying,
    "trend": trend.Forecast,
}
