"""Rules that name each other: whether all that composites are over is there, and none is over itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from tocsin.cli.files import Found, Placed
from tocsin.schemas.rule import Rule


def cross_checked(found: Found[Rule], elsewhere: Mapping[str, Rule | None] | None = None) -> list[Placed[Rule]]:
    """All rules of files. Raises Failure with every mistake in each and between them.

    `elsewhere` are the rules in force, which the files need not hold (None for one that cannot be read); without it
    only the files count.
    """
    known: dict[str, Rule | None] = dict(elsewhere or {})
    known |= {rule_id: placed.entry for rule_id, placed in found.entries.items()}
    names = {*known, *found.unsound}
    for placed in found.entries.values():
        found.mistakes += _unknown(placed, names, "files" if elsewhere is None else "files, nor in force")
        found.mistakes += _circular(placed, known)
    return found.sound()


def _unknown(placed: Placed[Rule], names: set[str], where: str) -> Iterator[str]:
    for place, member in enumerate(placed.entry.conditions):
        if member.rule not in names:
            near = difflib.get_close_matches(member.rule, names, n=1)
            mend = f"did you mean {near[0]!r}?" if near else "add it, or name another"
            text = f"there is no rule {member.rule!r} in the {where}; {mend}"
            yield placed.line(("conditions", place, "rule"), text)


def _circular(placed: Placed[Rule], known: Mapping[str, Rule | None]) -> Iterator[str]:
    """Says of each member that leads back to its composite the way there."""
    for place, member in enumerate(placed.entry.conditions):
        way = _way(member.rule, placed.entry.id, known)
        if way:
            text = f"goes round in a circle: {' > '.join((placed.entry.id, *way))}; take one out"
            yield placed.line(("conditions", place, "rule"), text)


def _way(begin: str, end: str, known: Mapping[str, Rule | None]) -> list[str]:
    """The shortest way from one rule to another along what composites are over; empty if there is none."""
    ways = [[begin]]
    seen = {begin}
    for way in ways:
        if way[-1] == end:
            return way
        rule = known.get(way[-1])
        for member in rule.conditions if rule else ():
            if member.rule not in seen:
                seen.add(member.rule)
                ways.append([*way, member.rule])
    return []
