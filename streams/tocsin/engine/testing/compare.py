"""What is expected against what there is, field by field."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tocsin.engine.testing.notation import parse_series
from tocsin.engine.testing.scenario import Expectation, ExpectedAlert, ExpectedNotification
from tocsin.engine.testing.seen import Facts, Seen, subject_of, text_of
from tocsin.schemas.problems import Path

_WORST_FIRST: Final = ("firing", "acknowledged", "pending", "resolved")
_IDENTITY: Final = ("labels", "channel", "type")  # what tells alerts and notifications of one rule apart


@dataclass(frozen=True, slots=True)
class Row:
    """One field that differs."""

    field: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected: the path of the expectation in its test, the time in it, and the fields."""

    path: Path
    at_ms: int
    subject: str
    rows: tuple[Row, ...]


def differences(place: int, expected: Expectation, actual: Seen) -> list[Difference]:
    """Everything that differs from the expectation at a place in the list."""
    path: Path = ("expect", place)
    found: list[Difference] = []
    if expected.alerts is not None:
        named = {one.rule for one in expected.alerts}
        wanted = [_given(one) for one in expected.alerts]
        there = [facts for facts in actual.alerts if not named or facts["rule"] in named]
        found += _listed((*path, "alerts"), expected, wanted, there)
    for selector, state in (expected.states or {}).items():
        is_now = _state(selector, actual)
        if is_now != state:
            found.append(Difference((*path, "states", selector), expected.at, selector, (Row("state", state, is_now),)))
    if expected.notifications is not None:
        wanted = [_given(one) for one in expected.notifications]
        found += _listed((*path, "notifications"), expected, wanted, actual.notifications)
    return found


def _given(one: ExpectedAlert | ExpectedNotification) -> dict[str, Any]:
    return {name: getattr(one, name) for name in type(one).model_fields if getattr(one, name) is not None}


def _state(selector: str, actual: Seen) -> str:
    """The worst state of a rule's alerts that have some labels."""
    rule, labels = parse_series(selector)
    meant = [one for one in actual.alerts if one["rule"] == rule and labels.items() <= one["labels"].items()]
    states = {one["status"] for one in meant}
    return next((state for state in _WORST_FIRST if state in states), "ok")


def _listed(
    path: Path, expected: Expectation, wanted: Sequence[Facts], actual: Sequence[Facts]
) -> Iterator[Difference]:
    """Pairs what is wanted with what is most like it; what differs in pairs, is missing, or is too much."""
    pairs = _paired(wanted, actual, expected.partial)
    for place, want in enumerate(wanted):
        subject, found = subject_of(want), actual[pairs[place]] if place in pairs else None
        rows = _missing(want) if found is None else _rows(want, found, expected.partial)
        if rows:
            yield Difference((*path, place), expected.at, subject, rows)
    if expected.partial:
        return
    for place, found in enumerate(actual):
        if place not in pairs.values() and ("channel" in found or found["status"] != "resolved"):
            name = "type" if "channel" in found else "status"
            rows = (Row(name, "nothing", str(found[name])), Row("value", "", text_of("value", found["value"])))
            yield Difference(path, expected.at, subject_of(found), rows)


def _missing(want: Facts) -> tuple[Row, ...]:
    name = "type" if "type" in want else "status"
    kind = Row(name, want.get(name, "an alert"), "nothing")
    said = ("rule", "labels", "channel", "type", "status")
    return kind, *(Row(name, text_of(name, value), "") for name, value in want.items() if name not in said)


def _paired(wanted: Sequence[Facts], actual: Sequence[Facts], partial: bool) -> dict[int, int]:
    """Place in `wanted` to place in `actual`: best likeness first, of equal ones what says more."""
    candidates = []
    for want_place, want in enumerate(wanted):
        for place, found in enumerate(actual):
            if want.get("rule", found["rule"]) == found["rule"] and want.get("channel") == found.get("channel"):
                candidates.append((_unlike(want, found, partial), -len(want), want_place, place))
    pairs: dict[int, int] = {}
    for _, _, want_place, place in sorted(candidates):
        if want_place not in pairs and place not in pairs.values():
            pairs[want_place] = place
    return pairs


def _unlike(want: Facts, found: Facts, partial: bool) -> int:
    wrong = [row.field for row in _rows(want, found, partial)]
    over = want.get("status") is None and "type" not in want and found["status"] == "resolved"
    return len(wrong) + 100 * len({*wrong} & {*_IDENTITY}) + 50 * over


def _rows(want: Facts, found: Facts, partial: bool) -> tuple[Row, ...]:
    rows = [
        Row(name, text_of(name, value), text_of(name, found[name]))
        for name, value in want.items()
        if not _same(value, found[name], partial)
    ]
    if "status" not in want and "type" not in want and found["status"] == "resolved":
        rows.append(Row("status", "an alert", "resolved"))
    return tuple(rows)


def _same(want: Any, found: Any, partial: bool) -> bool:
    if isinstance(want, Mapping):
        return set(want.items()) <= set(found.items()) if partial else bool(want == found)
    if isinstance(want, tuple):
        return found is not None and want[0] <= found <= want[1]
    if isinstance(want, float):
        return found is not None and math.isclose(want, found, rel_tol=1e-9, abs_tol=1e-12)
    return bool(want == found)
