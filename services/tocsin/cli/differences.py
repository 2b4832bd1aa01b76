"""How a comparison of alerts is printed: a row for each that only one side has, and how many there are of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DIFFERENCES: Final = {
    "DIFFERENCE": "difference", "LABELS": "labels", "SEVERITY": "severity", "FIRED": "fired_at", "ENDED": "ended_at",
    "VALUE": "value",
}  # fmt: skip


def differences(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alerts that only one side has, in order of time."""
    sides = ("only_current", "removed"), ("only_candidate", "added")
    rows = [{**alert, "difference": said} for side, said in sides for alert in found[side]]
    return sorted(rows, key=lambda alert: str(alert["fired_at"]))


def said_of_totals(found: Mapping[str, Any]) -> str:
    """All of them in one line; those that are too many to be shown are said to be so."""
    totals = found["totals"]
    hidden = totals["only_current"] + totals["only_candidate"] - len(differences(found))
    more = f" ({hidden} of them not shown)" if hidden else ""
    return f"alerts: {totals['both']} in both, {totals['only_candidate']} added, {totals['only_current']} removed{more}"
