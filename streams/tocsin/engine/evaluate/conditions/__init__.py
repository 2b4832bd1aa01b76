"""Conditions: how a value is judged. One file and one line of this table each."""

from typing import Final

from tocsin.engine.evaluate.conditions import threshold
from tocsin.engine.evaluate.conditions.verdicts import Condition

CONDITIONS: Final[dict[str, type[Condition]]] = {"threshold": threshold.Threshold}
