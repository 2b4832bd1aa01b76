"""What keeps listed alerts quiet: silences in force, hours of all their routes, and alerts that still inhibit them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tocsin.api.quiet import Known, marked
from tocsin.cli.explaining import silent
from tocsin.projection.queries import Document
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.route import ROUTING_ID, Routing
from tocsin.testing.alerts import firing_event, resolved_event

NOW = "2026-11-23T12:00:00.000Z"
OTHER = "9f2c000000000002"
SILENCE: dict[str, Any] = {
    "id": "deploy", "match": ["host=a1"], "comment": "new disks",
    "starts_at": "2026-11-23T11:00:00.000Z", "ends_at": "2026-11-23T13:00:00.000Z",
}  # fmt: skip
NOON = {"name": "noon", "time_intervals": [{"times": [{"start_time": "11:30", "end_time": "12:30"}]}]}
NIGHT = {"name": "night", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]}
INHIBIT = {"source": ["host=b1"], "target": ["host=a1"]}


def routing(routes: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    top = {"channels": ["chat"], "routes": routes} if routes else {"channels": ["chat"]}
    given = {"id": ROUTING_ID, "route": top, "time_intervals": [NOON, NIGHT], **more}
    return Routing.model_validate(given).document()


def quiet(
    alert: AlertEvent | None = None,
    silences: tuple[dict[str, Any], ...] = (),
    routes: dict[str, Any] | None = None,
    sources: tuple[AlertEvent, ...] = (),
) -> list[dict[str, Any]]:
    documents = [Document(one["id"], 1, 0, one) for one in silences]
    of_routes = Document(ROUTING_ID, 1, 0, routes) if routes else None
    known = Known(documents, of_routes, [msgspec.to_builtins(one) for one in sources])
    (found,) = marked([msgspec.to_builtins(alert or firing_event())], known, parse_instant(NOW))
    return list(found["quiet"])


def test_each_silence_in_force_stands_by_itself_with_its_comment_and_its_end() -> None:
    nightly = {**SILENCE, "id": "nightly", "schedule": {"rrule": "FREQ=DAILY", "duration": "65m"}, "comment": ""}
    others: dict[str, dict[str, Any]] = {
        "over": {"ends_at": NOW},
        "later": {"starts_at": "2026-11-23T12:30:00.000Z"},
        "b1": {"match": ["host=b1"]},
    }
    rest = [{**SILENCE, "id": name, **change} for name, change in others.items()]
    unread = {**SILENCE, "id": "newer", "of_a_later_version": 1}
    found = quiet(silences=(SILENCE, nightly, *rest, unread))
    assert found == [
        {"why": "silenced", "by": ["deploy"], "until": "2026-11-23T13:00:00.000Z", "comment": "new disks"},
        {"why": "silenced", "by": ["nightly"], "until": "2026-11-23T12:05:00.000Z", "comment": ""},
    ]
    assert silent({"quiet": found}) == "silenced by silence deploy, silenced by silence nightly"
    ends = {**SILENCE, "ends_with_alert": True}
    fired_later = firing_event(fired_at="2026-11-23T11:30:00.000Z")
    assert (len(quiet(silences=(ends,))), quiet(fired_later, silences=(ends,))) == (1, [])


@pytest.mark.parametrize(
    ("routes", "by"),
    [
        ([{"mute_time_intervals": ["noon"]}], ["noon"]),
        ([{"active_time_intervals": ["night"]}], ["night"]),
        ([{"mute_time_intervals": ["night"]}], []),
        (
            [{"mute_time_intervals": ["noon"], "continue": True}, {"active_time_intervals": ["night"]}],
            ["night", "noon"],
        ),
        ([{"mute_time_intervals": ["noon"], "continue": True}, {}], []),
        ([{"mute_time_intervals": ["noon"], "continue": True}, {"channels": []}], ["noon"]),
    ],
)
def test_hours_keep_an_alert_quiet_where_they_do_on_all_of_its_routes(routes: list[Any], by: list[str]) -> None:
    wanted = [{"why": "outside hours", "by": by}] if by else []
    assert quiet(routes=routing(routes)) == wanted
    assert quiet(firing_event(notifications=("ops",)), routes=routing(routes)) == [], "its rule names channels"


def test_an_alert_is_inhibited_while_its_source_is_active_and_the_rules_say_so() -> None:
    source = firing_event(1, OTHER, labels={"host": "b1"})
    inhibiting = routing(inhibit_rules=[INHIBIT])
    assert quiet(routes=inhibiting, sources=(source,)) == [{"why": "inhibited", "by": [OTHER]}]
    assert silent({"quiet": quiet(routes=inhibiting, sources=(source,))}) == f"inhibited by {OTHER}"
    assert quiet(routes=inhibiting, sources=(resolved_event(2, OTHER, labels={"host": "b1"}),)) == []
    assert quiet(routes=routing(), sources=(source,)) == []
    both = quiet(silences=(SILENCE,), routes=inhibiting, sources=(source,))
    assert [one["why"] for one in both] == ["inhibited", "silenced"]
