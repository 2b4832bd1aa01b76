"""Escalation policies against the slow model: waits, rounds, conditions, acknowledgements, severities, silences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import event as note
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.oracle.ladder import RANK, Model, Taken
from tests.routing.cases import BEGIN_MS, CHANNELS, make_event

from tocsin.engine.escalate.directory import Directory
from tocsin.engine.route import record as route_record
from tocsin.engine.route.members import Numbers
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.step import Changes, revisit, step
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.decision import Decision
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.oncall import Person, Schedule
from tocsin.schemas.silence import Silence
from tocsin.schemas.topics import CHANNEL_TYPES

HORIZON_S = 240
HOURS = range(60, 120)  # the second minute of the first hour
IN_HOURS = {"times": [{"start_time": "00:01", "end_time": "00:02"}]}
NAMED = {id_: one for one in CHANNELS for id_ in (one.id,)}
TARGETS: dict[str, Any] = {
    "chat": "chat", "slack": "slack", "gone": "gone", "anna": {"person": "anna"}, "on call": {"schedule": "now"},
    "nobody": {"schedule": "later"},
}  # fmt: skip


def reach(target: str, severity: str) -> Sequence[str]:
    """Anna has a phone for what is critical."""
    anna = ("mail", "pager") if severity == "critical" else ("mail",)
    return {"chat": ("chat",), "slack": ("chat",), "anna": anna, "on call": anna}.get(target, ())


def directory(policies: dict[str, dict[str, Any]]) -> Directory:
    made = Directory()
    contacts = ["mail", {"channel": "pager", "min_severity": "critical"}]
    made.put("person/anna", Person.model_validate({"id": "anna", "contacts": contacts}))
    for name, starts in (("now", "2020-01-01"), ("later", "2030-01-01")):
        layers = [{"people": ["anna"], "starts": starts}]
        made.put(f"schedule/{name}", Schedule.model_validate({"id": name, "layers": layers}))
    for name, policy in policies.items():
        steps = [
            {**one, "notify": [TARGETS[target] for target in one["notify"]], "hours": [IN_HOURS] * one["hours"]}
            for one in policy["steps"]
        ]
        made.put(name, EscalationPolicy.model_validate({**policy, "id": name, "steps": steps}))
    return made


@dataclass
class World:
    """Route's step over a record that is written and read back each time, and a lifecycle that numbers events."""

    directory: Directory
    muting: Muting
    lag_s: int
    own: tuple[str, ...]
    event: AlertEvent | None = None
    sequence: int = 0
    kept: bytes | None = None
    pending: list[tuple[int, Command]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    resolved_s: list[int] = field(default_factory=list)

    def act(self, now_s: int, kind: str, severity: str, policy: str) -> None:
        """Something happens to the alert."""
        status = "firing"
        if self.event is not None:
            is_better = RANK[severity] <= RANK[self.event.severity]
            status = self.event.status if kind == "changed" and is_better else status
        self._write(now_s, kind, severity=severity, escalation_policy=policy, kept=status)

    def second(self, now_s: int) -> None:
        """A second passes: what was asked for arrives, twice, and what is due is looked at."""
        self._arrive(now_s)
        if self.kept is not None:
            record = route_record.decode(self.kept)
            at_ms = BEGIN_MS + now_s * 1_000
            self._keep(revisit([record], NAMED, CHANNEL_TYPES, self.muting, Numbers(), at_ms, self.directory), now_s)
        self._arrive(now_s)

    def taken(self) -> list[Taken]:
        """What the decisions say was sent by policies."""
        return [
            ((parse_instant(one.at) - BEGIN_MS) // 1_000, one.policy, one.step, one.reason, tuple(sorted(one.channels)))
            for one in self.decisions
            if one.policy and one.outcome == "sent"
        ]

    def _arrive(self, now_s: int) -> None:
        while self.pending and self.pending[0][0] + self.lag_s <= now_s:
            _, command = self.pending.pop(0)
            for _ in range(2):
                current = self.event
                assert current is not None
                is_meant = (command.starts_at, command.sequence) == (current.starts_at, current.sequence)
                if is_meant and current.status == "firing":
                    kind = "resolved" if command.type == "resolve" else "escalated"
                    self.resolved_s += [now_s] * (kind == "resolved")
                    self._write(now_s, kind, escalation=command.escalation)

    def _write(self, now_s: int, kind: str, kept: str = "", **facts: Any) -> None:
        self.sequence += 1
        before = self.event
        fired_s = now_s
        if before is not None and kind != "firing":
            facts = {"severity": before.severity, "escalation_policy": before.escalation_policy} | facts
            fired_s = (parse_instant(before.starts_at) - BEGIN_MS) // 1_000
        facts |= {"sequence": self.sequence, "fired_s": fired_s, "notifications": self.own}
        facts |= {"reason": "manual"} if kind == "unacknowledged" else {}  # one that ends by itself, everybody hears
        made = make_event("slow", {"host": "a"}, kind, now_s, **facts)
        self.event = msgspec.structs.replace(made, status=kept) if kept and kind == "changed" else made
        find = (lambda _: route_record.decode(self.kept)) if self.kept is not None else (lambda _: None)
        at_ms = BEGIN_MS + now_s * 1_000
        events = [self.event, self.event]  # a replay brings it twice
        self._keep(step(events, find, NAMED, CHANNEL_TYPES, self.muting, Numbers(), at_ms, self.directory), now_s)

    def _keep(self, changes: Changes, now_s: int) -> None:
        for record in changes.records.values():
            assert isinstance(record, RouteRecord)
            self.kept = route_record.encode(record)
        self.decisions += changes.decisions
        self.said += [one.id for one in changes.notifications]
        self.pending += [(now_s, one) for one in changes.commands]
        if self.lag_s == 0:
            self._arrive(now_s)


waits = st.sampled_from([0, 1, 5, 20, 30])
steps = st.lists(
    st.fixed_dictionaries(
        {
            "wait": waits,
            "notify": st.lists(st.sampled_from(list(TARGETS)), min_size=1, max_size=2, unique=True),
            "min_severity": st.sampled_from([None, None, "warning", "critical"]),
            "hours": st.sampled_from([False, False, False, True]),
        }
    ),
    min_size=1,
    max_size=4,
)
policies = st.fixed_dictionaries({"steps": steps, "repeat": st.integers(0, 2), "pause": st.sampled_from([1, 10, 40])})
Acts = list[tuple[int, str, str]]


@st.composite
def histories(draw: st.DrawFn) -> Acts:
    """What happens to one alert: when, what, and its severity from then on."""
    found: Acts = []
    at_s, status, severity = draw(st.integers(0, 5)), "none", "warning"
    for _ in range(draw(st.integers(1, 8))):
        possible = {"none": ["firing"], "firing": ["acknowledged", "acknowledged", "changed", "changed", "resolved"],
                    "acknowledged": ["unacknowledged", "unacknowledged", "changed", "resolved"]}[status]  # fmt: skip
        kind = draw(st.sampled_from(possible))
        before = severity
        if kind in ("firing", "changed"):
            others = [one for one in ("info", "warning", "critical") if kind == "firing" or one != severity]
            severity = draw(st.sampled_from(others))
        is_worse = RANK[severity] > RANK[before]
        status = {"firing": "firing", "acknowledged": "acknowledged", "unacknowledged": "firing", "resolved": "none",
                  "changed": "firing" if is_worse else status}[kind]  # fmt: skip
        found.append((at_s, kind, severity))
        at_s += draw(st.sampled_from([1, 2, 7, 20, 31, 60]))
    return found


def stair(wait: int, target: str, least: str | None = None) -> dict[str, Any]:
    return {"wait": wait, "notify": [target], "min_severity": least, "hours": False}


SHORT = {"steps": [stair(0, "chat"), stair(1, "anna", "critical")], "repeat": 0, "pause": 1}
SLOW = {"steps": [stair(30, "chat"), stair(30, "anna")], "repeat": 0, "pause": 1}
WORSE = [(0, "firing", "warning"), (60, "changed", "critical")]
CARE = [(0, "firing", "critical"), (10, "acknowledged", "critical"), (20, "unacknowledged", "critical")]


@settings(max_examples=300, deadline=None)
@given(
    policies,
    policies,
    st.sampled_from(["keep", "resolve", "next"]),
    histories(),
    st.sampled_from([0, 0, 1, 3]),
    st.tuples(st.integers(0, 200), st.sampled_from([0, 0, 5, 50])),
    st.booleans(),
)
@example(SHORT, SLOW, "keep", WORSE, 0, (0, 0), False)  # it gets worse when the policy is over
@example(SHORT, SLOW, "next", CARE, 0, (0, 0), False)  # nobody of the second policy was told yet
def test_steps_are_taken_as_the_model_takes_them(
    first: dict[str, Any],
    second: dict[str, Any],
    end: str,
    acts: Acts,
    lag_s: int,
    silence: tuple[int, int],
    has_own: bool,
) -> None:
    whole = {
        "page": {**first, "at_end": "resolve" if end == "resolve" else "keep",
                 "next_policy": "managers" if end == "next" else None},
        "managers": {**second, "at_end": "keep", "next_policy": None},
    }  # fmt: skip
    own = ("pager",) if has_own and not silence[1] else ()
    quiet = range(silence[0], silence[0] + silence[1])
    model = Model(whole, reach, lag_s, quiet, HOURS, own)
    muting = Muting()
    if silence[1]:
        times = {"starts_at": BEGIN_MS + quiet.start * 1_000, "ends_at": BEGIN_MS + quiet.stop * 1_000}
        muting.silences.put("quiet", Silence.model_validate({"id": "quiet", "match": ["host=a"], **times}))
    world, resolved_s = World(directory(whole), muting, lag_s, own), []
    for now_s in range(HORIZON_S):
        for at_s, kind, severity in acts:
            if at_s == now_s and (model.status != "none") == (kind != "firing"):
                happen(model, now_s, kind, severity)
                world.act(now_s, kind, severity, "page")
        resolved_s += [now_s] * model.second(now_s)
        world.second(now_s)
    assert world.taken() == [(*one[:4], tuple(sorted(one[4]))) for one in model.taken]
    assert world.resolved_s == resolved_s
    assert len(set(world.said)) == len(world.said)
    note(f"{min(len(model.taken), 5)} steps")


def happen(model: Model, now_s: int, kind: str, severity: str) -> None:
    if kind == "firing":
        model.fires(now_s, severity, "page")
    elif kind == "acknowledged":
        model.acknowledged()
    elif kind == "unacknowledged" and model.status == "acknowledged":
        model.unacknowledged(now_s)
    elif kind == "changed":
        model.worse_or_better(now_s, severity)
    elif kind == "resolved":
        model.ends()
