"""Rules that name each other: whether all that a composite is over is there, and that none is over itself."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping

from tocsin.schemas.problems import Problem
from tocsin.schemas.rule import Rule

Known = Mapping[str, Rule | None]
"""Rules by id, None for one that is there and cannot be read."""


def member_problems(rule: Rule, known: Known, where: str, unsound: Collection[str] = ()) -> Iterator[Problem]:
    """What is wrong with the members of a composite among the rules that are `known`, itself as it is to be.

    `where` they are known, for people; `unsound` are ids of rules that are there and wrong themselves.
    """
    names = {*known, *unsound}
    for place, member in enumerate(rule.conditions):
        if member.rule not in names:
            near = difflib.get_close_matches(member.rule, names, n=1)
            mend = f"did you mean {near[0]!r}?" if near else "add it, or name another"
            yield ("conditions", place, "rule"), f"there is no rule {member.rule!r} {where}; {mend}"
    for place, member in enumerate(rule.conditions):
        way = _way(member.rule, rule.id, known)
        if way:
            text = f"goes round in a circle: {' > '.join((rule.id, *way))}; take one out"
            yield ("conditions", place, "rule"), text


def _way(begin: str, end: str, known: Known) -> list[str]:
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


def composites_over(rule_id: str, known: Known) -> list[str]:
    """Ids of the composites that a rule is a member of."""
    return sorted(rule.id for rule in known.values() if rule and rule_id in {one.rule for one in rule.conditions})


def members_first(ids: Iterable[str], known: Known) -> list[str]:
    """Ids in their order, but none before the members of its rule that are among them. There are no circles."""
    wanted, found = dict.fromkeys(ids), dict[str, None]()

    def add(rule_id: str) -> None:
        rule = known.get(rule_id)
        for member in rule.conditions if rule else ():
            if member.rule in wanted and member.rule not in found:
                add(member.rule)
        found.setdefault(rule_id)

    for rule_id in wanted:
        add(rule_id)
    return list(found)
