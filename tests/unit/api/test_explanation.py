"""Who was told, who was not, and why: joined from decisions, deliveries and events."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from tocsin.api.escalation_steps import escalation
from tocsin.api.explanation import explain
from tocsin.cli.explaining import heading, rows
from tocsin.schemas.alert import Acknowledgement, AlertEvent
from tocsin.schemas.decision import Decision
from tocsin.schemas.notification import Delivery, fallback_id
from tocsin.testing.alerts import firing_event, resolved_event

FIRED, OVER = firing_event(1), resolved_event(2)


def decision(outcome: str, at: str, **more: Any) -> Decision:
    given = {"fingerprint": FIRED.fingerprint, "rule_id": FIRED.rule_id, "event_id": FIRED.id} | more
    return Decision(id=f"{outcome}-{at}", at=at, outcome=outcome, **given)  # type: ignore[arg-type]


def delivery(notification: str, outcome: str, at: str, attempt: int = 1, **more: Any) -> Delivery:
    given = {"channel_id": "ops", "channel_type": "email", "event_id": FIRED.id, "event_type": "firing"} | more
    return Delivery(
        id=f"{notification}-{attempt}",
        notification_id=notification,
        fingerprint=FIRED.fingerprint,
        rule_id=FIRED.rule_id,
        attempt=attempt,
        outcome=outcome,  # type: ignore[arg-type]
        at=at,
        **given,
    )


def explained(
    events: list[AlertEvent], decisions: list[Decision] | None = None, deliveries: list[Delivery] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Entries by receiver."""
    lists = [orjson.loads(msgspec.json.encode(one)) for one in (events, decisions or [], deliveries or [])]
    found = explain(*lists)
    assert [one["last"] for one in found["receivers"]] == [one["entries"][-1]["outcome"] for one in found["receivers"]]
    return {one["channel"]: one["entries"] for one in found["receivers"]}


def test_what_was_sent_ends_in_the_providers_last_answer() -> None:
    sent = decision("sent", "2026-11-23T10:05:30.000Z", channels=("ops",), notifications=("n1",), reason="first")
    attempts = [
        delivery(
            "n1", "delivered", "2026-11-23T10:05:40.000Z", 2, status_code=250, receipt="queued as 7", latency_ms=41
        ),
        delivery("n1", "retrying", "2026-11-23T10:05:31.000Z", 1, status_code=451),
    ]
    (entry,) = explained([FIRED], [sent], attempts)["ops"]
    assert (entry["outcome"], entry["attempts"], entry["status_code"]) == ("delivered", 2, 250)
    assert (entry["receipt"], entry["answered_at"]) == ("queued as 7", "2026-11-23T10:05:40.000Z")
    assert entry["event"]["evidence"] == FIRED.evidence
    assert entry["event"]["rule_revision"] == FIRED.rule_revision


def test_each_receiver_has_its_own_answer() -> None:
    sent = decision("sent", "2026-11-23T10:05:30.000Z", channels=("ops", "chat"), notifications=("n1", "n2"))
    found = explained([FIRED], [sent], [delivery("n1", "delivered", "2026-11-23T10:05:31.000Z")])
    assert {name: entries[-1]["outcome"] for name, entries in found.items()} == {
        "ops": "delivered",
        "chat": "under way",
    }


def test_what_was_not_sent_names_its_cause_for_each_receiver() -> None:
    waiting = decision(
        "waiting", "2026-11-23T10:05:00.000Z", channels=("ops", "chat"), until="2026-11-23T10:05:30.000Z"
    )
    silenced = decision("silenced", "2026-11-23T10:05:30.000Z", channels=("ops",), by=("deploy",), route="0")
    found = explained([FIRED], [waiting, silenced])
    assert [(one["outcome"], one.get("by")) for one in found["ops"]] == [("waiting", None), ("silenced", ["deploy"])]
    assert found["chat"][-1]["until"] == "2026-11-23T10:05:30.000Z"


def test_a_rules_own_channels_need_no_decision() -> None:
    own = msgspec.structs.replace(FIRED, notifications=("ops",))
    (under_way,) = explained([own])["ops"]
    assert (under_way["outcome"], under_way["reason"]) == ("under way", "named by the rule")
    (told,) = explained([own], [], [delivery("n1", "delivered", "2026-11-23T10:05:01.000Z")])["ops"]
    assert told["outcome"] == "delivered"
    (missing,) = explained([own], [], [delivery("n1", "unroutable", FIRED.updated_at, 0, detail="there is none")])[
        "ops"
    ]
    assert (missing["outcome"], missing["detail"]) == ("unroutable", "there is none")


def test_who_is_not_named_by_the_rule_was_told_before_or_in_the_place_of_another() -> None:
    own = msgspec.structs.replace(FIRED, notifications=("ops", "webhook"))
    sent = [
        delivery("n1", "failed", "2026-11-23T10:05:01.000Z"),
        delivery("n2", "delivered", "2026-11-23T10:05:02.000Z", channel_id="oncall"),
        delivery("n3", "delivered", "2026-11-23T10:05:02.000Z", channel_id="hook", channel_type="webhook"),
        delivery(fallback_id("n1", "chat"), "delivered", "2026-11-23T10:05:03.000Z", channel_id="chat"),
    ]
    found = explained([own], [], sent)
    assert {name: entries[0]["reason"] for name, entries in found.items()} == {
        "ops": "named by the rule",
        "oncall": "told before",
        "hook": "named by the rule",
        "chat": "instead of ops",
    }


def test_what_a_rate_limit_holds_back_says_so_until_it_is_sent() -> None:
    own = msgspec.structs.replace(FIRED, notifications=("ops",))
    held = delivery("n1", "rate limited", "2026-11-23T10:05:01.000Z", 0, next_attempt_at="2026-11-23T10:05:31.000Z")
    sent = delivery("n1", "delivered", "2026-11-23T10:05:31.000Z", 1)
    lists = [msgspec.to_builtins(one) for one in ([own], [], [held])]
    (row,) = rows(explain(*lists))
    assert (row["outcome"], row["why"]) == ("rate limited", "named by the rule, not before 2026-11-23T10:05:31.000Z")
    (entry,) = explained([own], [], [held, sent])["ops"]
    assert (entry["outcome"], entry["attempts"]) == ("delivered", 1)


def test_a_test_send_is_not_part_of_it() -> None:
    assert explained([FIRED], [], [delivery("n1", "delivered", FIRED.updated_at, test=True)]) == {}


def test_an_event_that_is_no_longer_kept_leaves_its_id() -> None:
    (entry,) = explained([], [decision("no route", FIRED.updated_at, reason="there are no routes")])[""]
    assert (entry["event"], entry["event_id"], entry["reason"]) == (None, FIRED.id, "there are no routes")


def test_steps_of_a_policy_that_are_done_and_due_stand_by_themselves() -> None:
    alert = msgspec.to_builtins(msgspec.structs.replace(FIRED, escalation_policy="page"))
    at, later = "2026-11-23T10:05:00.000Z", "2026-11-23T10:15:00.000Z"
    decisions = [
        decision("waiting", at, policy="page", step=3, until=later),
        decision("sent", at, policy="page", step=1, reason="first", channels=("ops",), notifications=("n1",)),
        decision("passed over", at, policy="page", step=2, reason="for critical alerts and worse"),
        decision("sent", at, policy="old", step=1, event_id="of another episode"),
    ]
    found = [msgspec.to_builtins(one) for one in decisions]
    shown = escalation(alert, [alert], found)
    assert shown is not None
    assert (shown["policy"], shown["state"], shown["due"]) == (
        "page", "waiting", {"policy": "page", "step": 3, "at": later},
    )  # fmt: skip
    assert [(one["step"], one["outcome"]) for one in shown["steps"]] == [(1, "sent"), (2, "passed over")]
    explained = explain([alert], found[:3], []) | {"escalation": shown}
    assert heading(alert, shown)[-1] == f"escalation page: step 3, due at {later}"
    assert [tuple(row.values())[1:] for row in rows(explained)] == [
        ("-", "-", "passed over", "for critical alerts and worse, step 2 of page"),
        ("ops", "firing", "under way", "first, step 1 of page"),
    ]
    taken = escalation({**alert, "status": "acknowledged"}, [alert], found)
    assert taken is not None
    assert (taken["state"], taken["due"]) == ("acknowledged", None)
    assert escalation(msgspec.to_builtins(FIRED), [alert], []) is None


def test_the_command_says_all_of_it_in_the_order_of_time() -> None:
    silenced = decision("silenced", "2026-11-23T10:05:00.000Z", channels=("ops",), by=("deploy",))
    sent = decision("sent", "2026-11-23T10:06:00.000Z", channels=("ops",), notifications=("n1",), reason="first")
    over = decision(
        "sent", OVER.updated_at, channels=("chat",), notifications=("n2",), reason="all resolved", event_id=OVER.id
    )
    attempts = [
        delivery("n1", "delivered", "2026-11-23T10:06:09.000Z", 2, status_code=250, latency_ms=12.4),
        delivery("n2", "failed", "2026-11-23T10:09:31.000Z", detail="401 invalid token"),
    ]
    lists = [msgspec.to_builtins(one) for one in ([FIRED, OVER], [silenced, sent, over], attempts)]
    assert [tuple(row.values())[1:] for row in rows(explain(*lists))] == [
        ("ops", "firing", "silenced", "by silence deploy"),
        ("ops", "firing", "delivered", "first, answered 250, after 12 ms, 2 attempts, at 2026-11-23T10:06:09.000Z"),
        ("chat", "resolved", "failed", "all resolved, answered 401 invalid token"),
    ]
    by_hand = msgspec.structs.replace(OVER, reason="manual", actor="anna", comment="rolled back")
    assert heading(msgspec.to_builtins(by_hand))[2:] == [f"resolved by hand by anna at {OVER.updated_at}: rolled back"]
    care = Acknowledgement("ben", FIRED.updated_at, until=OVER.updated_at, snoozed=True)
    taken = msgspec.structs.replace(FIRED, status="acknowledged", acknowledged=care)
    assert heading(msgspec.to_builtins(taken))[2:] == [f"snoozed by ben at {FIRED.updated_at}, until {OVER.updated_at}"]
    assert heading(msgspec.to_builtins(OVER))[2:] == []
    assert heading(msgspec.to_builtins(FIRED))[1].startswith("rule high_response_time, revision 0; 30 samples of")
