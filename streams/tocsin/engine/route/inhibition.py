"""Which active alerts keep an alert quiet: by inhibition rules, and along declared dependencies."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from tocsin.engine.route.marks import Reached
from tocsin.schemas.inhibition import Dependencies, Inhibition
from tocsin.schemas.mark import Late
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.route import Routing

Labels = Mapping[str, str]
_Equal = tuple[str, ...]


class Wait(NamedTuple):
    """What an alert waits for that something may inhibit: the watermark `awaits_ms`, but no longer than `hold_ms`."""

    hold_ms: int
    awaits_ms: int


def _lag_ms(source: Collection[Matcher], late: Iterable[Late]) -> int:
    """By how much alerts that match may be behind the watermark."""
    return max((one.ms for one in late if _may_match(source, one.labels)), default=0)


def _may_match(matchers: Iterable[Matcher], known: Labels) -> bool:
    return all(matcher.matches(known) for matcher in matchers if matcher.name in known)


class _Rule:
    """One inhibition rule; active sources by the values of the labels that must be equal."""

    def __init__(self, rule: Inhibition) -> None:
        self._rule = rule
        self.hold_ms: Final = rule.hold
        self._sources: dict[_Equal, dict[str, bool]] = {}  # fingerprint to whether it is a target as well

    def _equal(self, labels: Labels) -> _Equal:
        return tuple(labels.get(name, "") for name in self._rule.equal)

    def is_target(self, labels: Labels) -> bool:
        return matches_all(self._rule.target, labels)

    def may_hit(self, labels: Labels) -> bool:
        """Whether there may be a source for it: one has the same values of the labels that must be equal."""
        shared = [matcher for matcher in self._rule.source if matcher.name in self._rule.equal]
        return self.is_target(labels) and matches_all(shared, labels)

    def lag_ms(self, late: Iterable[Late]) -> int:
        return _lag_ms(self._rule.source, late)

    def put(self, fingerprint: str, labels: Labels) -> None:
        if matches_all(self._rule.source, labels):
            self._sources.setdefault(self._equal(labels), {})[fingerprint] = self.is_target(labels)

    def remove(self, fingerprint: str, labels: Labels) -> None:
        sources = self._sources.get(self._equal(labels), {})
        if sources.pop(fingerprint, None) is not None and not sources:
            del self._sources[self._equal(labels)]

    def sources_of(self, labels: Labels) -> list[str]:
        """Of an alert that matches both sides, those that match both do not count: it would be its own source."""
        if not self.is_target(labels):
            return []
        is_source = matches_all(self._rule.source, labels)
        return [
            name for name, is_both in self._sources.get(self._equal(labels), {}).items() if not (is_source and is_both)
        ]


class _Graph:
    """One graph of dependencies; active alerts by the thing they are about."""

    def __init__(self, graph: Dependencies) -> None:
        self._graph = graph
        self.hold_ms: Final = graph.hold
        self._active: dict[str, dict[str, None]] = {}

    def _thing(self, labels: Labels) -> str:
        return labels.get(self._graph.label, "")

    def may_hit(self, labels: Labels) -> bool:
        return bool(self._graph.needs.get(self._thing(labels)))

    def lag_ms(self, late: Iterable[Late]) -> int:
        return _lag_ms(self._graph.source, late)

    def put(self, fingerprint: str, labels: Labels) -> None:
        if self._thing(labels) and matches_all(self._graph.source, labels):
            self._active.setdefault(self._thing(labels), {})[fingerprint] = None

    def remove(self, fingerprint: str, labels: Labels) -> None:
        about = self._active.get(self._thing(labels), {})
        if about.pop(fingerprint, True) is None and not about:
            del self._active[self._thing(labels)]

    def sources_of(self, labels: Labels) -> list[str]:
        """Alerts on the root: of what it needs and is broken, that which is farthest away."""
        for needed in reversed(self._graph.all_needed(self._thing(labels))):
            if needed in self._active:
                return list(self._active[needed])
        return []


class Inhibitor:
    """All active alerts, seen through the rules of one routing. Silenced alerts still inhibit others."""

    def __init__(self, routing: Routing | None = None) -> None:
        rules: list[_Rule | _Graph] = []
        if routing is not None:
            rules += [_Rule(rule) for rule in routing.inhibit_rules]
            rules += [_Graph(graph) for graph in routing.dependencies]
        self._rules: Final = tuple(rules)
        self._labels: dict[str, Labels] = {}
        self._lags: tuple[tuple[Late, ...], list[int]] = ((), [0] * len(rules))  # of each rule, by what comes late

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ever inhibited."""
        return not self._rules

    def put(self, fingerprint: str, labels: Labels | None) -> None:
        """An alert is active with these labels, or with None is not."""
        before = self._labels.pop(fingerprint, None)
        if before is not None:
            self._each(lambda rule: rule.remove(fingerprint, before))
        if labels is not None:
            self._labels[fingerprint] = labels
            self._each(lambda rule: rule.put(fingerprint, labels))

    def _each(self, act: "Callable[[_Rule | _Graph], None]") -> None:
        for rule in self._rules:
            act(rule)

    def sources_of(self, labels: Labels) -> tuple[str, ...]:
        """Fingerprints of the alerts that keep one with these labels quiet, in order."""
        return tuple(sorted({source for rule in self._rules for source in rule.sources_of(labels)}))

    def wait(self, labels: Labels, fired_ms: int, reached: Reached) -> Wait | None:
        """What an alert waits for before it counts as not inhibited; None if all that may inhibit it, and fired no
        later, is active here."""
        if self._lags[0] != reached.late:
            self._lags = reached.late, [rule.lag_ms(reached.late) for rule in self._rules]
        found = [
            Wait(rule.hold_ms, fired_ms + lag_ms)
            for rule, lag_ms in zip(self._rules, self._lags[1], strict=True)
            if rule.hold_ms and fired_ms + lag_ms > reached.watermark_ms and rule.may_hit(labels)
        ]
        return Wait(max(one.hold_ms for one in found), max(one.awaits_ms for one in found)) if found else None

    def following(self, routing: Routing | None) -> "Inhibitor":
        """The same alerts through the rules of another routing."""
        made = Inhibitor(routing)
        for fingerprint, labels in self._labels.items():
            made.put(fingerprint, labels)
        return made
