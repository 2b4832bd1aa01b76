"""Random route trees, alerts, silences and inhibitions, and a driver of the two steps that works as the agents do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tocsin.engine.route import record as route_record
from tocsin.engine.route.flush import World
from tocsin.engine.route.groups import step as group_step
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.step import Numbers, revisit
from tocsin.engine.route.step import step as route_step
from tocsin.engine.route.store import Index, RouteStore, entries_of_groups
from tocsin.engine.route.tree import Tree
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.decision import Decision
from tocsin.schemas.grouping import GroupInput, Join, RouteTick
from tocsin.schemas.incident import Incident
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.notification import Notification
from tocsin.schemas.route import Routing
from tocsin.schemas.silence import Silence
from tocsin.schemas.topics import CHANNEL_TYPES

BEGIN_MS = 1_767_225_600_000  # 2026-01-01T00:00Z
CHANNELS = (
    Channel(id="pager", type="webhook"),
    Channel(id="mail", type="email", config={"send_resolved": False}),
    Channel(id="chat", type="slack"),
    Channel(id="incident", type="pagerduty"),
)


def make_event(rule: str, labels: Mapping[str, str], kind: str, at_s: int, **more: Any) -> AlertEvent:
    """An event of an alert; `sequence` and `fired_s` are among what may be given."""
    statuses = {"resolved": "resolved", "acknowledged": "acknowledged", "reminded": "acknowledged"}
    status = statuses.get(kind, "firing")
    fired = format_instant(BEGIN_MS + more.pop("fired_s", at_s) * 1_000)
    fingerprint = alert_fingerprint(rule, labels)
    sequence = more.pop("sequence", at_s)
    given = {"severity": "warning", "starts_at": fired, "fired_at": fired} | more
    return AlertEvent(
        id=f"{fingerprint}-{sequence}",
        type=kind,  # type: ignore[arg-type]
        fingerprint=fingerprint,
        sequence=sequence,
        rule_id=rule,
        rule_name=rule,
        status=status,  # type: ignore[arg-type]
        labels=dict(labels),
        updated_at=format_instant(BEGIN_MS + at_s * 1_000),
        **given,
    )


@dataclass
class Driver:
    """Both steps over a table in memory, whose entries go through their encoding as if every run had crashed; groups
    only if it `forgets` them."""

    muting: Muting = field(default_factory=Muting)
    channels: Mapping[str, Channel] = field(default_factory=lambda: {one.id: one for one in CHANNELS})
    alerts: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, bytes] = field(default_factory=dict)
    index: Index = field(default_factory=lambda: Index(broken))
    forgets: bool = True
    numbers: Numbers = field(default_factory=Numbers)
    notifications: list[Notification] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    incidents: dict[str, Incident] = field(default_factory=dict)

    def alert(self, event: AlertEvent, at_s: int) -> None:
        """Lifecycle wrote an event."""
        self.muting.inhibitor.put(event.fingerprint, routing_labels(event) if event.is_active else None)
        found = route_step(
            [event], self.record, self.channels, CHANNEL_TYPES, self.muting, self.numbers, BEGIN_MS + at_s * 1_000
        )
        self._keep(found, at_s)

    def tick(self, at_s: int) -> None:
        """A second has passed."""
        records = [route_record.decode(value) for value in self.alerts.values()]
        at_ms = BEGIN_MS + at_s * 1_000
        self._keep(revisit(records, self.channels, CHANNEL_TYPES, self.muting, self.numbers, at_ms), at_s)
        self._groups([RouteTick(at_ms)], at_s)

    def _keep(self, found: Any, at_s: int) -> None:
        self.alerts |= {name: route_record.encode(record) for name, record in found.records.items()}
        self.notifications += found.notifications
        self.decisions += found.decisions
        self.joins += found.joins
        self._groups(found.joins, at_s)

    def _groups(self, inputs: Collection[GroupInput], at_s: int) -> None:
        if self.forgets:
            self.index = Index.of(self, 0, broken)  # type: ignore[arg-type]
        stamped = [(BEGIN_MS + at_s * 1_000, one) for one in inputs]
        store = RouteStore(self.entries.get, self.index, broken, self.muting.reached_ms)
        done = group_step(stamped, store.progress(), store, World(self.channels, CHANNEL_TYPES, self.muting))
        assert not done.failed, done.failed
        self.index.kept.keep(done.groups)
        written = entries_of_groups(done)
        self.index.put(written)
        self.entries |= {key: value for key, value in written.items() if value is not None}
        for key in [key for key, value in written.items() if value is None]:
            self.entries.pop(key, None)
        self.notifications += done.notifications
        self.decisions += done.decisions
        self.incidents |= {one.id: one for one in done.incidents}

    def again(self, at_s: int) -> None:
        """A crash: what was sent to groups is sent once more."""
        self._groups(self.joins, at_s)

    def record(self, fingerprint: str) -> RouteRecord | None:
        """An alert's record."""
        value = self.alerts.get(fingerprint)
        return route_record.decode(value) if value else None

    def keys(self, _partition: int) -> list[str]:
        """As a table's: of all entries."""
        return list(self.entries)

    def get(self, _partition: int, key: str) -> bytes | None:
        """As a table's: an entry."""
        return self.entries.get(key)


def broken(text: str) -> None:
    """Nothing is ever damaged here."""
    raise AssertionError(text)


def driver(
    routing: Mapping[str, Any] | None, silences: Collection[Mapping[str, Any]] = (), *, forgets: bool = True
) -> Driver:
    """A driver with a routing and silences in force."""
    made = Driver(forgets=forgets)
    if routing is not None:
        made.muting.put_tree(Tree(Routing.model_validate(routing)))
    for silence in silences:
        made.muting.silences.put(str(silence["id"]), Silence.model_validate(silence))
    return made


def said(driver: Driver) -> list[tuple[int, str, str, tuple[str, ...], tuple[str, ...]]]:
    """Each notification of a group: when, to whom, why, which alerts are active and which are over."""
    found = []
    for one in driver.notifications:
        if one.group is not None:
            at_s = (_parsed(one.created_at) - BEGIN_MS) // 1_000
            firing = tuple(sorted(alert.fingerprint for alert in one.group.alerts if alert.status != "resolved"))
            over = tuple(sorted(alert.fingerprint for alert in one.group.alerts if alert.status == "resolved"))
            found.append((at_s, one.channel_id, one.group.reason, firing, over))
    return found


def _parsed(text: str) -> int:
    from tocsin.schemas.instant import parse_instant

    return parse_instant(text)


NAMES = ("a", "b")
VALUES = ("x", "y", "")
matchers = st.sampled_from(
    ['a="x"', 'a="y"', 'a!="x"', 'b="x"', 'b=~"x|y"', 'b!~"x.*"', 'a=~".*"', 'severity="critical"', 'alertname="one"']
)
_settings = st.fixed_dictionaries(
    {},
    optional={
        "group_by": st.sampled_from([["a"], ["b"], ["a", "b"], ["..."], [], ["alertname"]]),
        "group_wait": st.sampled_from(["0s", "5s", "30s"]),
        "group_interval": st.sampled_from(["10s", "20s", "45s"]),
        "repeat_interval": st.sampled_from(["20s", "60s", "95s"]),
        "resolve_at_once": st.booleans(),
        "channels": st.lists(st.sampled_from(["pager", "mail", "chat", "slack"]), min_size=1, max_size=2, unique=True),
    },
)
_node = st.builds(
    lambda settings, match, goes_on, quiet: {**settings, "match": match, "continue": goes_on, **quiet},
    _settings,
    st.lists(matchers, max_size=2),
    st.booleans(),
    st.sampled_from([{}, {}, {"mute_time_intervals": ["minute"]}, {"active_time_intervals": ["minute"]}]),
)
_nodes = st.recursive(
    st.lists(_node, max_size=3),
    lambda below: st.lists(st.builds(lambda node, routes: {**node, "routes": routes}, _node, below), max_size=3),
    max_leaves=6,
)
_inhibitions = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.lists(matchers, min_size=1, max_size=2),
            "target": st.lists(matchers, min_size=1, max_size=2),
            "equal": st.sampled_from([[], ["a"], ["b"]]),
            "hold": st.just("0s"),
        }
    ),
    max_size=2,
)
routings = st.builds(
    lambda root, routes, inhibit: {
        "route": {"channels": ["chat"], **root, "routes": routes},
        "inhibit_rules": inhibit,
        # The second minute of the first hour.
        "time_intervals": [
            {"name": "minute", "time_intervals": [{"times": [{"start_time": "00:01", "end_time": "00:02"}]}]}
        ],
    },
    _settings,
    _nodes,
    _inhibitions,
)


def _silence(number: int, match: list[str], begin_s: int, length_s: int) -> dict[str, Any]:
    begin_ms = BEGIN_MS + begin_s * 1_000
    return {"id": f"s{number}", "match": match, "starts_at": begin_ms, "ends_at": begin_ms + length_s * 1_000}


silences = st.lists(
    st.builds(
        _silence,
        st.integers(0, 3),
        st.sampled_from([['a="x"'], ['b="x"'], ['a="x"', 'b!="x"'], ['alertname="one"']]),
        st.integers(0, 200),
        st.integers(1, 120),
    ),
    max_size=2,
    unique_by=lambda one: one["id"],
)
_SERIES = [(rule, {"a": a, "b": b}) for rule in ("one", "two") for a in VALUES for b in ("x", "y")]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, AlertEvent]]:
    """Events in order, each with the second at which it comes; what an alert does makes sense."""
    found: list[tuple[int, AlertEvent]] = []
    active: dict[str, tuple[int, str]] = {}
    at_s = 0
    for sequence in range(draw(st.integers(1, 14))):
        at_s += draw(st.integers(0, 40))
        rule, labels = draw(st.sampled_from(_SERIES))
        labels = {name: value for name, value in labels.items() if value}
        name = alert_fingerprint(rule, labels)
        if name not in active:
            severity = draw(st.sampled_from(["warning", "critical"]))
            fired_s = at_s - draw(st.sampled_from([0, 0, 3, 60]))
            active[name] = fired_s, severity
            kind = "firing"
        else:
            fired_s, severity = active[name]
            kinds = ["resolved", "resolved", "changed", "acknowledged", "reminded", "unacknowledged"]
            kind = draw(st.sampled_from(kinds))
            if kind == "changed":
                severity = "critical" if severity == "warning" else "warning"
                active[name] = fired_s, severity
            elif kind == "resolved":
                del active[name]
        given = {"fired_s": fired_s, "severity": severity, "reason": draw(st.sampled_from(["manual", "snooze over"]))}
        event = make_event(rule, labels, kind, at_s, sequence=sequence + 1, **given)
        found.append((at_s, event))
    return found
