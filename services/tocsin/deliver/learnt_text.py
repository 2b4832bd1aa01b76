"""What a rule that learns has to say of an alert: how rare it is, and which measures found it strange. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tocsin.schemas.alert import AlertEvent

_HOUR: Final = 1 / 24
_YEAR: Final = 365.25
_MOST_YEARS: Final = 10  # what is said of longer times is a guess
_MOST_MEASURES: Final = 3
_FEW_PEERS: Final = 5  # of these all are told of


def is_learnt(event: AlertEvent) -> bool:
    """Whether what is expected was learnt, and is not where a line leads."""
    return {"value", "lower", "upper"} <= (event.expected or {}).keys()


def rarity(event: AlertEvent) -> str:
    """`once in 40 days`; empty where that is not known, or where it is over."""
    days = _evidence(event, "facts").get("once_in_days", 0.0)
    if not days:
        return ""
    if days > _MOST_YEARS * _YEAR:
        return f"less than once in {_MOST_YEARS} years"
    for length, unit in ((_YEAR, "years"), (1.0, "days"), (_HOUR, "hours")):
        if days >= 2 * length:
            return f"once in {days / length:.0f} {unit}"
    return "more often than once in 2 hours"


def of_peers(event: AlertEvent, quantity: Callable[[float], str]) -> str:
    """`latency of api-7 is 212 ms; its 4 peers in cluster=eu are 97 ms to 143 ms.`; empty of what has no peers.

    Of more than four the range is that of the three fifths in the middle. `quantity` writes a number with its unit.
    """
    facts, evidence = _evidence(event, "facts"), event.evidence or {}
    if event.value is None or not {"peers", "lowest", "highest", "expected"} <= facts.keys():
        return ""
    member = _evidence(event, "member")
    name = ", ".join(map(str, member.values()) if len(member) == 1 else (f"{key}={member[key]}" for key in member))
    group = ", ".join(f"{key}={event.labels.get(key, '')}" for key in evidence.get("group_by", ()))
    count = int(facts["peers"])
    most = "its" if count < _FEW_PEERS else "most of its"
    ordinary = f"{quantity(facts['lowest'])} to {quantity(facts['highest'])}"
    usual = (
        ""
        if facts["lowest"] <= facts["expected"] <= facts["highest"]
        else (f"; it would be {quantity(facts['expected'])} if it were as far from them as usual")
    )
    subject = f"{evidence.get('metric', 'The value')}{f' of {name}' if name else ''}"
    return f"{subject} is {quantity(event.value)}; {most} {count} peers in {group} are {ordinary}{usual}."


def measures(event: AlertEvent) -> str:
    """The measures of a detector by which it is strange, the strangest first."""
    votes = sorted(_evidence(event, "votes").items(), key=lambda vote: (-vote[1], vote[0]))
    return ", ".join(name for name, vote in votes[:_MOST_MEASURES] if vote > 0)


def strange_within(event: AlertEvent) -> str:
    """The measure by which a value is strange that lies in the band of ordinary ones; none of one outside."""
    expected = event.expected or {}
    if event.value is None or not expected.get("lower", 0) <= event.value <= expected.get("upper", 0):
        return ""
    return next((name for name in measures(event).split(", ") if name != "value"), "")


def _evidence(event: AlertEvent, name: str) -> Mapping[str, Any]:
    found = (event.evidence or {}).get(name)
    return found if isinstance(found, Mapping) else {}
