"""Cron expressions, as the recurrence rules that have the same times: five fields, or `@daily` and the like."""

import re
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS: Final[tuple[tuple[str, int, int, dict[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: place for place, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: place for place, name in enumerate(_DAYS)}),  # 0 and 7 are Sunday
)
_PART: Final = re.compile(r"(\*|[a-z0-9]{1,3}(?:-[a-z0-9]{1,3})?)(?:/([0-9]{1,2}))?", re.ASCII)


def cron_rules(text: str) -> tuple[str, ...]:
    """The recurrence rules (RFC 5545) whose times together are those of a cron expression, by the clock on a wall.

    As in cron, where neither kind of day begins with `*`, one of them is enough. Raises ValueError fit for users.
    """
    words = _WORDS.get(text, text).split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"{text[:60]!r} is not a cron expression; write minute, hour, day, month, weekday")
    minutes, hours, days, months, weekdays = (_values(word, *field) for word, field in zip(words, _FIELDS, strict=True))
    always = {"BYMINUTE": _texts(minutes), "BYHOUR": _texts(hours), "BYMONTH": _texts(months)}
    by_day = {"BYMONTHDAY": _texts(days)}
    by_weekday = {"BYDAY": ",".join(_DAYS[day][:2].upper() for day in sorted({day % 7 for day in weekdays}))}
    is_either = not words[2].startswith("*") and not words[4].startswith("*")
    return tuple(_rule(always | kind) for kind in ([by_day, by_weekday] if is_either else [by_day | by_weekday]))


def _rule(parts: dict[str, str]) -> str:
    return ";".join(["FREQ=DAILY", *(f"{name}={values}" for name, values in parts.items()), "BYSECOND=0"])


def _texts(values: set[int]) -> str:
    return ",".join(map(str, sorted(values)))


def _values(word: str, what: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for part in word.split(","):
        matched = _PART.fullmatch(part)
        step = int(matched[2] or 1) if matched else 0
        ends = _ends(matched[1], low, high, names, has_step=bool(matched[2])) if matched else None
        if ends is None or step == 0:
            raise ValueError(f"{part[:20]!r} is not a {what}; use {low} to {high}, a range, or a step such as */5")
        found |= set(range(ends[0], ends[1] + 1, step))
    return found


def _ends(text: str, low: int, high: int, names: dict[str, int], *, has_step: bool) -> tuple[int, int] | None:
    if text == "*":
        return low, high
    first, dash, last = text.partition("-")
    begin = _number(first, names)
    end = _number(last, names) if dash else high if has_step else begin
    if not low <= begin <= high or not low <= end <= high:
        return None
    if begin > end and names.get("sat") == high - 1:
        end += high  # days of a week go on: fri-mon
    return (begin, end) if begin <= end else None


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdecimal() else names.get(text, -1)
