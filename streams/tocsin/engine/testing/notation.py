"""Series and values as Prometheus' rule tests write them: `http_errors{service="api"}` and `0+10x20 _x5 3 stale`."""

import re
from collections.abc import Mapping
from typing import Final

from tocsin.schemas.matcher import Matcher, parse_matchers

MAX_VALUES: Final = 1_000_000
_NUMBER: Final = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_SOME: Final = re.compile(rf"(?P<first>[-+]?{_NUMBER})(?:(?P<step>[-+]{_NUMBER})?x(?P<more>\d{{1,9}}))?", re.ASCII)
_NONE: Final = re.compile(r"_(?:x(?P<count>\d{1,9}))?|stale", re.ASCII)
_MEND: Final = "write 3, 5x3 (four of them), 0+10x20, 100-5x4, or _ and _x5 for none"


def parse_values(text: str) -> tuple[float | None, ...]:
    """The values of a series in order, None where there is none.

    `a+bxn` and `a-bxn` are n + 1 values, `axn` is n + 1 times a, `_xn` is n times none, as Prometheus counts them;
    `stale` is one without a value. Raises ValueError with the mend.
    """
    found: list[float | None] = []
    for token in text.split():
        found += _values(token, MAX_VALUES - len(found))
    if not found:
        raise ValueError(f"holds no value; {_MEND}")
    return tuple(found)


def _values(token: str, room: int) -> list[float | None]:
    nothing, some = _NONE.fullmatch(token), _SOME.fullmatch(token)
    if nothing is None and some is None:
        raise ValueError(f"{token[:40]!r} is not a value; {_MEND}")
    if nothing is not None:
        count = int(nothing["count"] or 1)
    else:
        assert some is not None
        count = int(some["more"] or 0) + 1
    if count > room:
        raise ValueError(f"{token[:40]!r} makes more than {MAX_VALUES} values; write fewer")
    if some is None:
        return [None] * count
    first, step = float(some["first"]), float(some["step"] or 0)
    values = [first + number * step for number in range(count)]
    if not all(abs(value) < float("inf") for value in values):
        raise ValueError(f"{token[:40]!r} goes beyond what a number can hold; write smaller ones")
    return list(values)


def parse_series(text: str) -> tuple[str, dict[str, str]]:
    """The metric's name and labels of `name{label="value", ...}`. Raises ValueError with the mend."""
    name, brace, rest = text.strip().partition("{")
    name, mend = name.strip(), 'write http_errors{service="api"}'
    if not name:
        raise ValueError(f"{text[:60]!r} has no name; {mend}")
    if not brace:
        return name, {}
    inside = rest.strip()
    if not inside.endswith("}"):
        raise ValueError(f"{text[:60]!r} does not end with a brace; {mend}")
    matchers: tuple[Matcher, ...] = parse_matchers(inside[:-1]) if inside[:-1].strip() else ()
    labels: dict[str, str] = {}
    for matcher in matchers:
        if matcher.op != "=":
            raise ValueError(f"{matcher} is no label of a series; {mend}")
        if matcher.name in labels:
            raise ValueError(f"{matcher.name!r} stands twice; remove one")
        labels[matcher.name] = matcher.value
    return name, labels


def format_labels(labels: Mapping[str, str]) -> str:
    """`{host="a1", service="api"}`; nothing for none."""
    inside = ", ".join(str(Matcher(name, "=", labels[name])) for name in sorted(labels))
    return f"{{{inside}}}" if inside else ""
