"""Incidents: which alerts are one, by a slow model, and what receivers and users see of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.routing.cases import BEGIN_MS, driver, make_event

from tocsin.engine.route.tree import Tree
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.problems import field_errors
from tocsin.schemas.route import Routing

WITHIN_S = 20
NEEDS = {"shop": ["payments", "stock"], "payments": ["database"], "mail": ["smtp"]}
ROUTING = {
    "route": {"channels": ["mail"], "group_wait": "0s"},
    "dependencies": [{"label": "service", "needs": NEEDS, "source": ["alertname=nothing"], "hold": "0s"}],
    "correlations": [
        {"name": "stack", "match": ["team=web"], "by": ["cluster"], "along": "service", "within": f"{WITHIN_S}s",
         "channels": ["chat"], "group_wait": "5s", "group_interval": "30s"},
    ],
}  # fmt: skip
CONNECTED = {"shop": 1, "payments": 1, "stock": 1, "database": 1, "mail": 2, "smtp": 2, "alone": 3}


@dataclass
class One:
    """An incident of the model: which alerts are active, which ever were, and since when none is."""

    began_s: int
    active: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    over_s: int = -1


alerts = st.lists(
    st.tuples(
        st.integers(1, 12), st.sampled_from(["eu", "us"]), st.sampled_from(sorted(CONNECTED)), st.booleans()
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(alerts)
def test_alerts_are_one_incident_when_the_model_says_so(history: list[tuple[int, str, str, bool]]) -> None:
    world, model, now_s = driver(ROUTING), list[tuple[tuple[str, int], One]](), 0
    for sequence, (gap_s, cluster, service, fires) in enumerate(history, 1):
        for _ in range(gap_s):
            now_s += 1
            world.tick(now_s)
        labels = {"team": "web", "cluster": cluster, "service": service}
        name, key = alert_fingerprint("r", labels), (cluster, CONNECTED[service])
        latest = next((one for place, one in reversed(model) if place == key), None)
        is_active = latest is not None and name in latest.active
        if fires == is_active:
            continue
        kind = "firing" if fires else "resolved"
        world.alert(make_event("r", labels, kind, now_s, sequence=sequence), now_s)
        if fires:
            if latest is None or (not latest.active and latest.over_s + WITHIN_S <= now_s):
                latest = One(now_s)
                model.append((key, latest))
            latest.active.add(name)
            latest.ever.add(name)
        elif latest is not None:
            latest.active.discard(name)
            latest.over_s = now_s
    found = sorted((one.started_at, {alert.fingerprint for alert in one.alerts}, one.status, one.active, one.count)
                   for one in world.incidents.values())  # fmt: skip
    wanted = [
        (format_instant(BEGIN_MS + one.began_s * 1_000), one.ever, "open" if one.active else "resolved",
         len(one.active), len(one.ever))
        for _, one in model
    ]  # fmt: skip
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_an_alert_that_leaves_and_comes_back_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin.engine.route.incidents._MOST", 1)
    world = driver(ROUTING)
    for sequence, (at_s, service, kind) in enumerate(
        [(1, "shop", "firing"), (2, "stock", "firing"), (8, "stock", "resolved"), (90, "stock", "firing")]
    ):
        for now_s in range(at_s, at_s + 2):
            world.tick(now_s)
        labels = {"team": "web", "cluster": "eu", "service": service}
        world.alert(make_event("slow", labels, kind, at_s, sequence=sequence), at_s)
        for now_s in range(at_s, at_s + 80 * (kind == "resolved")):
            world.tick(now_s)
    (incident,) = world.incidents.values()
    assert (incident.count, incident.active, len(incident.alerts), incident.truncated) == (2, 2, 1, 1)


def test_one_message_says_why_and_the_next_incident_is_another() -> None:
    world = driver(ROUTING)
    labels = {"team": "web", "cluster": "eu"}
    for at_s, service in ((1, "database"), (2, "payments"), (3, "shop"), (4, "stock")):
        world.alert(make_event("slow", {**labels, "service": service}, "firing", at_s), at_s)
    world.alert(make_event("slow", {"team": "web", "service": "shop"}, "firing", 5), 5)
    world.tick(6)
    of_routes, told = world.notifications
    assert (of_routes.channel_id, [one.labels for one in of_routes.group.alerts]) == (  # type: ignore[union-attr]
        "mail",
        [{"team": "web", "service": "shop"}],
    )
    group = told.group
    assert group is not None
    assert (told.channel_id, group.labels) == ("chat", {"cluster": "eu", "service": "database"})
    assert [group.why[one.fingerprint] for one in group.alerts] == [
        "it is the first",
        "cluster is eu, service payments needs database",
        "cluster is eu, service shop needs database",
        "cluster is eu, service stock is connected with database",
    ]
    for at_s, service in ((10, "database"), (11, "payments"), (12, "shop"), (13, "stock")):
        world.alert(make_event("slow", {**labels, "service": service}, "resolved", at_s), at_s)
    world.alert(make_event("slow", {**labels, "service": "shop"}, "firing", 40), 40)
    for at_s in range(40, 70):
        world.tick(at_s)
    keys = [(one.group_key, one.group.reason) for one in world.notifications if one.channel_id == "chat" and one.group]
    assert [reason for _, reason in keys][-2:] == ["all resolved", "first"]
    assert keys[-1][0] != keys[-2][0]
    assert [one.status for one in world.incidents.values()] == ["resolved", "open"]


def test_with_continue_its_alerts_go_through_the_routes_too() -> None:
    correlation = {**ROUTING["correlations"][0], "continue": True}  # type: ignore[index]
    world = driver({**ROUTING, "correlations": [correlation]})
    world.alert(make_event("slow", {"team": "web", "cluster": "eu", "service": "shop"}, "firing", 1), 1)
    for at_s in range(1, 8):
        world.tick(at_s)
    assert sorted(one.channel_id for one in world.notifications) == ["chat", "mail"]


def test_it_and_its_alerts_are_over_when_its_rule_is_no_more() -> None:
    world = driver(ROUTING)
    for at_s, service in ((1, "shop"), (2, "payments")):
        labels = {"team": "web", "cluster": "eu", "service": service}
        world.alert(make_event("slow", labels, "firing", at_s), at_s)
    world.muting.put_tree(Tree(Routing.model_validate({**ROUTING, "correlations": []}), 1))
    world.tick(10)
    (incident,) = world.incidents.values()
    assert (incident.status, incident.active) == ("resolved", 0)
    assert [one.ended_at for one in incident.alerts] == [format_instant(BEGIN_MS + 10_000)] * 2


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"by": [], "along": None}, "correlations.0.by", "all alerts would be one incident"),
        ({"along": "servise"}, "correlations.0.along", "there is no graph over 'servise'"),
        ({"channels": []}, "correlations.0.channels", ""),
        ({"group_interval": "0s"}, "correlations.0.group_interval", "must be longer than zero"),
    ],
)
def test_what_makes_no_sense_is_named(change: dict[str, object], field: str, text: str) -> None:
    correlation = {**ROUTING["correlations"][0], **change}  # type: ignore[index]
    with pytest.raises(ValidationError) as refused:
        Routing.model_validate({**ROUTING, "correlations": [correlation]})
    assert [(one.field, text in one.message) for one in field_errors(refused.value)] == [(field, True)]
