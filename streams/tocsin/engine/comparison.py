"""What one rule would alert on and another would not: the alerts of both, compared as stretches of time."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tocsin.engine.evaluate.judge import NEVER_MS
from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.tree import Tree
from tocsin.schemas.alert import AlertEvent, AlertType, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.schemas.kinds import Severity
from tocsin.schemas.labels import SHADOW

MOST_SHOWN: Final = 1_000
Told = Counter[tuple[str, str]]
"""How often a channel is told of which type of event."""
TellOf = Callable[[AlertEvent, AlertType], Iterable[str]]
"""Who is told of an alert when something of a type happens to it."""


@dataclass(slots=True)
class Episode:
    """One alert, from when it fired until it ended (`NEVER_MS` while it goes on).

    `fingerprint` is that of the series under the rule, so that of two versions of a rule is the same. `severity` is the
    worst that it reached, `value` the first that is known from when it fired, `began_ms` when its condition began.
    """

    fingerprint: str
    rule_id: str
    labels: Mapping[str, str]
    severity: str
    began_ms: int
    fired_ms: int
    ended_ms: int = NEVER_MS
    value: float | None = None
    unit: str | None = None
    told: Told = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Pair:
    """Alerts of one series that overlap in time count as the same; one that overlaps with nothing stands alone."""

    current: tuple[Episode, ...]
    candidate: tuple[Episode, ...]

    @property
    def side(self) -> Literal["both", "current", "candidate"]:
        """Who alerts."""
        if self.current and self.candidate:
            return "both"
        return "current" if self.current else "candidate"

    @property
    def first(self) -> Episode:
        """What fired first."""
        return min((*self.current, *self.candidate), key=lambda one: one.fired_ms)

    @property
    def told(self) -> tuple[Told, Told]:
        """Notifications of the current rule, and of the candidate."""
        current, candidate = (sum((one.told for one in side), Counter()) for side in (self.current, self.candidate))
        return current, candidate


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs in order of time. `unseen` counts alerts of the current rule that are left out: their condition began
    before the candidate looked, so it could not have said the same."""

    pairs: tuple[Pair, ...]
    unseen: int

    def of(self, side: str) -> list[Pair]:
        """The pairs of one side."""
        return [pair for pair in self.pairs if pair.side == side]

    @property
    def added(self) -> int:
        """Notifications that only the candidate would send."""
        return sum((candidate - current).total() for current, candidate in (pair.told for pair in self.pairs))

    @property
    def removed(self) -> int:
        """Notifications that only the current rule sends."""
        return sum((current - candidate).total() for current, candidate in (pair.told for pair in self.pairs))


def compare(current: Iterable[Episode], candidate: Iterable[Episode], since_ms: int, until_ms: int) -> Comparison:
    """What fired within [since_ms, until_ms), or went on into it."""
    sides: dict[str, tuple[list[Episode], list[Episode]]] = {}
    for side, found in enumerate((current, candidate)):
        for episode in found:
            if episode.fired_ms < until_ms and episode.ended_ms > since_ms:
                sides.setdefault(episode.fingerprint, ([], []))[side].append(episode)
    pairs = [pair for two in sides.values() for pair in _pairs(*two)]
    judged = [pair for pair in pairs if pair.candidate or pair.first.began_ms >= since_ms]
    ordered = sorted(judged, key=lambda pair: (pair.first.fired_ms, pair.first.fingerprint))
    return Comparison(tuple(ordered), len(pairs) - len(judged))


def _pairs(current: Sequence[Episode], candidate: Sequence[Episode]) -> Iterator[Pair]:
    """In order of time; a stretch grows for as long as what comes next begins before it is over."""
    both = [(one, 0) for one in current] + [(one, 1) for one in candidate]
    found: tuple[list[Episode], list[Episode]] = [], []
    over_ms = -NEVER_MS
    for episode, side in sorted(both, key=lambda entry: (entry[0].fired_ms, entry[0].ended_ms)):
        if episode.fired_ms >= over_ms and any(found):
            yield Pair(tuple(found[0]), tuple(found[1]))
            found = [], []
        found[side].append(episode)
        over_ms = max(over_ms, episode.ended_ms, episode.fired_ms + 1)
    if any(found):
        yield Pair(tuple(found[0]), tuple(found[1]))


def episodes(events: Iterable[AlertEvent], tell: TellOf, until_ms: int = NEVER_MS) -> list[Episode]:
    """The alerts that events are about, as of a time, in whatever order the events come and however often.

    An event tells the whole alert, so the last one is enough. What somebody raised by hand is no rule's.
    """
    found: dict[tuple[str, str], Episode] = {}
    unique = {event.id: event for event in events}
    for event in sorted(unique.values(), key=lambda event: (event.updated_at, event.sequence)):
        if event.fired_at is None or event.evidence is None:
            continue
        key = event.fingerprint, event.fired_at
        if key not in found:
            found[key] = _begun(event, event.fired_at, tell)
        if parse_instant(event.updated_at) < until_ms:
            _follow(found[key], event, tell)
    return list(found.values())


def _begun(event: AlertEvent, fired_at: str, tell: TellOf) -> Episode:
    """Its firing counts as told, whether or not that event is among those that are known."""
    return Episode(
        event.fingerprint.removeprefix(SHADOW),
        event.rule_id,
        event.labels,
        event.severity,
        parse_instant(event.starts_at),
        parse_instant(fired_at),
        value=event.value,
        unit=event.unit,
        told=Counter((name, "firing") for name in tell(event, "firing")),
    )


def _follow(episode: Episode, event: AlertEvent, tell: TellOf) -> None:
    episode.severity = max(episode.severity, event.severity, key=lambda name: Severity(name).rank)
    if event.ends_at is not None:
        episode.ended_ms = parse_instant(event.ends_at)
    if event.type in ("changed", "resolved") and not event.is_noise:
        episode.told.update((name, event.type) for name in tell(event, event.type))


def teller(channels: Mapping[str, Channel], types: Collection[str], tree: Tree | None = None) -> TellOf:
    """Which channels are told of an event, those that its rule names or else those of its routes, before anything that
    holds notifications back or joins them."""

    def tell(event: AlertEvent, kind: AlertType) -> Iterable[str]:
        found, _ = find_channels(event.notifications or _routed(event, tree), channels, types)
        return [one.id for one in found.values() if kind != "resolved" or one.sends_resolved]

    return tell


def _routed(event: AlertEvent, tree: Tree | None) -> Iterable[str]:
    nodes = tree.find(routing_labels(event)) if tree else ()
    return dict.fromkeys(name for node in nodes for name in node.options.channels)


def document(found: Comparison, most: int = MOST_SHOWN) -> dict[str, Any]:
    """Plain values, times in RFC 3339: counts of everything, and the first `most` of each kind."""
    both, gone, new = found.of("both"), found.of("current"), found.of("candidate")
    return {
        "totals": {
            "both": len(both), "only_current": len(gone), "only_candidate": len(new), "unseen": found.unseen,
        },
        "both": [
            {
                "labels": dict(pair.first.labels),
                "current": [_alert(one) for one in pair.current],
                "candidate": [_alert(one) for one in pair.candidate],
            }
            for pair in both[:most]
        ],
        "only_current": [_alert(pair.first) for pair in gone[:most]],
        "only_candidate": [_alert(pair.first) for pair in new[:most]],
    }  # fmt: skip


def _alert(episode: Episode) -> dict[str, Any]:
    return {
        "fingerprint": episode.fingerprint,
        "rule_id": episode.rule_id,
        "labels": dict(episode.labels),
        "severity": episode.severity,
        "started_at": format_instant(episode.began_ms),
        "fired_at": format_instant(episode.fired_ms),
        "ended_at": None if episode.ended_ms == NEVER_MS else format_instant(episode.ended_ms),
        "value": episode.value,
        "unit": episode.unit,
        "notifications": episode.told.total(),
    }
