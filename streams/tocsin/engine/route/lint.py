"""What is allowed in a routing, and is hardly meant: what no alert reaches, inhibitions that hit too much."""

from collections.abc import Iterator, Sequence

from tocsin.engine.route.tree import Node, Tree
from tocsin.schemas.correlation import Correlation
from tocsin.schemas.inhibition import Inhibition
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.problems import Path, Problem
from tocsin.schemas.route import Routing

Matchers = tuple[Matcher, ...]


def lint(routing: Routing) -> list[Problem]:
    """Every doubt, with the path of what raises it."""
    found = [*_unreachable(Tree(routing).root, ()), *_idle(routing.correlations)]
    used = {
        name for _, node in routing.route.walk() for name in (*node.mute_time_intervals, *node.active_time_intervals)
    }
    for place, interval in enumerate(routing.time_intervals):
        if interval.name not in used:
            found.append((("time_intervals", place), f"{interval.name!r} is used by no route; remove it"))
    for place, rule in enumerate(routing.inhibit_rules):
        found += [(("inhibit_rules", place), text) for text in _broad(rule)]
    return found


def _unreachable(node: Node, above: Matchers) -> Iterator[Problem]:
    """Routes below a node that no alert reaches; what lies below such a one is not named again."""
    path_matchers = (*above, *node.match)
    for place, child in enumerate(node.children):
        clash = _clash((*path_matchers, *child.match))
        if clash:
            yield child.path, f"no alert reaches it: {clash}; correct one of them"
            continue
        before = next((other for other in node.children[:place] if _takes_all(other, child, path_matchers)), None)
        if before is not None:
            where = ".".join(map(str, before.path))
            yield child.path, f"no alert reaches it: {where} takes all of them; move it up, or add continue: true there"
            continue
        yield from _unreachable(child, path_matchers)


def _takes_all(earlier: Node, later: Node, above: Matchers) -> bool:
    """Whether an earlier route surely takes every alert that a later one would."""
    return not earlier.continues and _covers(earlier.match, (*above, *later.match))


def _covers(wide: Matchers, narrow: Matchers) -> bool:
    """Whether what meets the narrow matchers surely meets the wide ones."""
    known = set(map(str, narrow))
    fixed = {one.name: one.value for one in narrow if one.op == "="}
    return all(str(one) in known or (one.name in fixed and one.matches(fixed)) for one in wide)


def _idle(correlations: Sequence[Correlation]) -> Iterator[Problem]:
    """Correlation rules that no alert reaches."""
    for place, one in enumerate(correlations):
        path: Path = ("correlations", place)
        clash = _clash(one.match)
        if clash:
            yield path, f"no alert reaches it: {clash}; correct one of them"
            continue
        earlier = [other for other in correlations[:place] if not other.continues and other.names <= one.names]
        before = next((other.name for other in earlier if _covers(other.match, one.match)), None)
        if before is not None:
            yield path, f"no alert reaches it: {before!r} takes all of them; move it up, or add continue: true there"


def _clash(matchers: Matchers) -> str:
    """Two matchers that no alert meets together."""
    fixed: dict[str, Matcher] = {}
    for one in matchers:
        if one.op == "=":
            fixed.setdefault(one.name, one)
    for one in matchers:
        known = fixed.get(one.name)
        if known is not None and not one.matches({known.name: known.value}):
            return f"{known} and {one} exclude each other"
    return ""


def _broad(rule: Inhibition) -> Iterator[str]:
    if matches_all(rule.target, {}):
        yield "its target matches alerts without any labels, so nearly all; name what it is to keep quiet"
    if matches_all(rule.source, {}):
        yield "its source matches alerts without any labels, so nearly all; name what is to keep others quiet"
    if not rule.equal and not _is_narrow(rule.target):
        yield "one source anywhere keeps every target quiet; add equal: [...], or a matcher with = to the target"
    if set(map(str, rule.source)) == set(map(str, rule.target)):
        yield "has no effect: what matches both sides does not inhibit itself; let source and target differ"


def _is_narrow(matchers: Matchers) -> bool:
    return any(one.op == "=" and one.value and one.name != "severity" for one in matchers)
