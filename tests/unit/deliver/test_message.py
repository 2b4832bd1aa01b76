"""What people read: the message in words, as mail, as Slack blocks, and on the console."""

from __future__ import annotations

import re
from email import policy
from email.parser import BytesParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.channels import check_config
from tocsin.deliver.channels.console import render
from tocsin.deliver.channels.slack import SlackSettings, payload
from tocsin.deliver.learnt_text import rarity
from tocsin.deliver.mail import compose_mail
from tocsin.deliver.message import Message, compose, format_quantity
from tocsin.schemas.alert import Acknowledgement, AlertEvent, Escalation
from tocsin.testing.alerts import Addressee, firing_event, resolved_event

BASE = "https://tocsin.example.com/"
HOSTILE = 'x"<script>alert(1)</script><!channel> & `b` \x1b[31m\u202e\r\nBcc: e@example.com'


def message(event: AlertEvent, template: str = "") -> Message:
    return compose(Addressee("ops", "email").notification(event), BASE, template)


def facts(found: Message) -> dict[str, str]:
    return {fact.name: fact.value for fact in found.facts}


def test_a_firing_alert_says_what_where_how_much_and_since_when() -> None:
    found = message(firing_event())
    assert found.subject == "[FIRING] warning: High Response Time Alert (host=a1, service=api)"
    assert found.summary == (
        "response_time is 1,234.5 ms, above 1,000 ms.",
        "Alert when response time exceeds threshold",
    )
    assert facts(found) == {
        "Severity": "warning",
        "Value": "1,234.5 ms",
        "Threshold": "> 1,000 ms",
        "Since": "2026-11-23 10:00:00 UTC",
        "For": "5m",
        "Category": "performance",
        "Rule": "high_response_time",
    }
    assert found.link == "https://tocsin.example.com/#/alerts/9f2c000000000001"


def test_a_resolved_alert_says_how_long_it_lasted_and_why_it_ended() -> None:
    found = message(resolved_event())
    assert found.subject.startswith("[RESOLVED] warning: ")
    assert found.summary[0] == "Resolved after 9m30s: the condition is over."
    assert facts(found)["Until"] == "2026-11-23 10:09:30 UTC"
    assert facts(found)["Lasted"] == "9m30s"
    assert facts(found)["Reason"] == "condition"
    assert (found.colour, found.mark) != (message(firing_event()).colour, message(firing_event()).mark)
    by_hand = message(resolved_event(reason="manual", actor="ada", comment="restarted it"))
    assert by_hand.summary[0] == "Resolved after 9m30s: closed by hand by ada."
    assert by_hand.summary[-1] == "ada says: restarted it"
    assert message(resolved_event(reason="rule deleted")).summary[0] == "Resolved after 9m30s: rule deleted."


def test_other_transitions_and_manual_alerts_have_words_too() -> None:
    acknowledged = Acknowledgement("ada", "2026-11-23T10:06:00.000Z")
    found = message(firing_event(type="acknowledged", status="acknowledged", actor="ada", acknowledged=acknowledged))
    assert found.summary[0] == "Acknowledged by ada."
    assert facts(found)["Acknowledged"] == "ada, 2026-11-23 10:06:00 UTC"
    bare: dict[str, Any] = {"value": None, "threshold": None, "operator": None, "evidence": None}
    assert message(firing_event(reason="manual", actor="ada", **bare)).summary[0] == "Raised by ada."
    expected = {"lower": 80.0, "upper": 310.0, "score": 6.1}
    assert facts(message(firing_event(expected=expected)))["Expected"] == "80 ms to 310 ms"


def test_a_change_and_a_step_of_an_escalation_say_what_is_the_matter() -> None:
    assert message(firing_event(type="changed", severity="critical")).summary[0] == (
        "Now critical: response_time is 1,234.5 ms, above 1,000 ms."
    )
    nameless = firing_event(type="changed", evidence=None)
    assert message(nameless).summary[0] == "Now warning: the value is 1,234.5 ms, above 1,000 ms."
    step = Escalation(policy="page", step=2, round=1, reason="unanswered", people=("ben",), channels=("chat",))
    told: dict[str, Any] = {
        "type": "escalated",
        "actor": "escalation",
        "escalation": step,
        "comment": "step 2 of page: ben",
    }
    found = message(firing_event(**told))
    assert found.summary[0] == "Nobody has answered yet: response_time is 1,234.5 ms, above 1,000 ms."
    assert found.summary[-1] == "step 2 of page: ben"
    assert message(firing_event(**told, value=None)).summary[0] == "Nobody has answered yet."
    gone = firing_event(**told, value=None, evidence={"metric": "up", "facts": {"silent_s": 300.0}})
    assert message(gone).summary[0] == "Nobody has answered yet: up has not been seen for 5m."


def test_what_is_said_again_says_why() -> None:
    until = "2026-11-23T12:00:00.000Z"
    taken = Acknowledgement("ada", "2026-11-23T10:06:00.000Z", until=until)
    found = message(firing_event(type="reminded", status="acknowledged", reason="reminder", acknowledged=taken))
    assert found.subject.startswith("[REMINDED] warning: ")
    assert found.summary[0] == "Still warning; acknowledged by ada until 2026-11-23 12:00:00 UTC."
    over = message(firing_event(type="unacknowledged", reason="snooze over"))
    assert over.summary[0] == "Still warning: snooze over."


def test_an_anomaly_says_what_was_expected_how_rare_it_is_and_in_which_way() -> None:
    evidence = {
        "metric": "latency",
        "facts": {"once_in_days": 40.2},
        "votes": {"jump": 2.5, "value": 3.7, "hour mean": 0.0},
    }
    learnt = {"value": 195.0, "lower": 80.0, "upper": 310.0, "score": 3.7}
    told: dict[str, Any] = {"threshold": None, "operator": None, "expected": learnt, "evidence": evidence}
    event = firing_event(**told)
    found = message(event, "{{ expected.upper }}, {{ rarity }}")
    assert found.summary == ("310.0, once in 40 days",)
    found = message(event)
    assert found.summary[0] == (
        "latency is 1,234.5 ms; expected is 80 ms to 310 ms. Such a value comes once in 40 days."
    )
    assert facts(found)["Expected"] == "80 ms to 310 ms"
    assert facts(found)["Rarity"] == "once in 40 days"
    assert facts(found)["Strange"] == "value, jump"
    within = message(firing_event(**{**told, "value": 95.0}))
    assert within.summary[0] == (
        "latency is 95 ms, within the expected 80 ms to 310 ms; but its jump comes once in 40 days."
    )


def test_a_member_of_a_group_says_how_its_peers_are() -> None:
    facts_of = {"value": 212.0, "expected": 120.0, "lowest": 97.0, "highest": 143.0, "peers": 11.0, "once_in_days": 0.0}
    evidence = {"metric": "latency", "facts": facts_of, "group_by": ["cluster"], "member": {"host": "api-7"}}
    learnt = {"value": 120.0, "lower": 80.0, "upper": 160.0, "score": 9.1}
    shown: dict[str, Any] = {"threshold": None, "operator": None, "value": 212.0, "expected": learnt}
    event = firing_event(**shown, labels={"cluster": "eu", "host": "api-7"}, evidence=evidence)
    assert message(event).summary[0] == (
        "latency of api-7 is 212 ms; most of its 11 peers in cluster=eu are 97 ms to 143 ms."
    )
    few = {**evidence, "facts": {**facts_of, "peers": 4.0, "expected": 150.0, "once_in_days": 40.0}, "member": {}}
    assert message(firing_event(**shown, labels={}, evidence=few)).summary[0] == (
        "latency is 212 ms; its 4 peers in cluster= are 97 ms to 143 ms; it would be 150 ms if it were as far from "
        "them as usual. Such a value comes once in 40 days."
    )


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (0.0, ""),
        (0.05, "more often than once in 2 hours"),
        (0.5, "once in 12 hours"),
        (3.2, "once in 3 days"),
        (900.0, "once in 2 years"),
        (1e9, "less than once in 10 years"),
    ],
)
def test_rarity_is_said_in_the_longest_unit_that_fits(days: float, text: str) -> None:
    assert rarity(firing_event(evidence={"facts": {"once_in_days": days}})) == text


def test_a_deviation_from_a_baseline_says_where_the_threshold_stands() -> None:
    learnt = {"value": 195.0, "lower": 80.0, "upper": 310.0, "score": 6.1}
    found = message(firing_event(threshold=310.0, expected=learnt))
    assert found.summary[0] == "response_time is 1,234.5 ms, above 310 ms; expected is 195 ms."
    assert facts(found)["Threshold"] == "> 310 ms"


@pytest.mark.parametrize(
    ("breach_in_s", "text"), [(13_810.4, "in 3h50m"), (3_599.4, "in 59m59s"), (10.0, "in 10s"), (0.2, "at once")]
)
def test_a_forecast_says_what_is_and_when_it_will_be_there(breach_in_s: float, text: str) -> None:
    expected = {"value": 97.5, "current": 55.25, "slope_per_hour": 10.0, "breach_in_s": breach_in_s}
    found = message(firing_event(value=97.5, threshold=95.0, unit="%", expected=expected))
    assert found.summary[0] == f"response_time is 55.25 %, and will be above 95 % {text}."
    told = facts(found)
    assert "Value" not in told
    assert (told["Forecast"], told["Now"], told["Reached"]) == ("97.5 %", "55.25 %", text)


def test_a_drill_is_marked_in_subject_and_text() -> None:
    found = message(firing_event(drill=True))
    assert found.subject.startswith("[DRILL · FIRING] ")
    assert found.summary[0] == "This is a drill: nothing is wrong."


def test_only_web_addresses_become_links() -> None:
    assert message(firing_event(runbook_url="https://runbooks.example.com/1")).runbook
    assert message(firing_event(runbook_url="javascript:alert(1)")).runbook == ""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1234.5, "ms", "1,234.5 ms"),
        (1000.0, None, "1,000"),
        (0.0, None, "0"),
        (-0.25, None, "-0.25"),
        (97.0, "%", "97 %"),
        (1e-9, None, "1e-09"),
        (1e20, None, "1e+20"),
        (2_500_000_000.0, "B", "2,500,000,000 B"),
        (100.0, None, "100"),
        (None, "ms", "unknown"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, unit: str | None, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_a_template_replaces_the_text_and_one_that_fails_does_not_stop_the_message() -> None:
    assert message(firing_event(), "{{ labels.service }} took {{ value }}").summary == ("api took 1234.5",)
    assert message(firing_event(), "{{ labels.service.x.y }}").summary == (
        "response_time is 1,234.5 ms, above 1,000 ms.",
    )
    assert message(firing_event(labels={"a": "{{ 7*7 }}"}), "{{ labels.a }}").summary == ("{{ 7*7 }}",)
    for fails in ("{{ labels.pop('no') }}", "{{ group_labels.clear() }}", "{{ labels.get() }}"):
        assert message(firing_event(), fails).summary == ("response_time is 1,234.5 ms, above 1,000 ms.",)


@pytest.mark.parametrize("template", ["{{ annotations.missing }}", " \n\t ", "{% if value < 0 %}below{% endif %}"])
def test_a_template_that_says_nothing_leaves_the_verdict(template: str) -> None:
    found = message(firing_event(), template)
    assert found.summary == ("response_time is 1,234.5 ms, above 1,000 ms.",)
    settings = check_config("slack", {"webhook_url": "https://hooks.example.com/x"})
    assert isinstance(settings, SlackSettings)
    assert payload(settings, found)["blocks"][1]["text"]["text"]


def test_a_mail_has_both_parts_a_stable_identity_and_a_thread() -> None:
    addressee = Addressee("ops", "email")
    mails = []
    for event in (firing_event(), firing_event(), resolved_event()):
        notification = addressee.notification(event)
        found = compose(notification, BASE)
        raw = compose_mail(
            "Alerts <alerts@example.com>", ["ops@example.com"], found.subject, notification, found
        ).as_bytes()
        mails.append(BytesParser(policy=policy.default).parsebytes(raw))
    first, repeat, resolved = mails
    assert first["Message-ID"] == repeat["Message-ID"] != resolved["Message-ID"]
    assert first["References"] == resolved["References"]
    assert first["Auto-Submitted"] == "auto-generated"
    text, page = (part.get_content() for part in first.iter_parts())
    for part in (text, page):
        for shown in (
            "High Response Time Alert",
            "1,234.5 ms",
            "&gt; 1,000 ms" if part is page else "> 1,000 ms",
            "host=a1",
        ):
            assert shown in part
    assert "<style" not in page
    assert 'style="' in page


def test_strangers_text_neither_forges_headers_nor_markup_nor_lines() -> None:
    event = firing_event(labels={"service": HOSTILE}, rule_name=HOSTILE, description=HOSTILE, severity="critical")
    notification = Addressee("ops", "email").notification(event)
    found = compose(notification, BASE)
    mail = compose_mail("alerts@example.com", ["ops@example.com"], found.subject, notification, found)
    raw = mail.as_bytes()
    parsed = BytesParser(policy=policy.default).parsebytes(raw)
    assert parsed["To"] == "ops@example.com"
    assert parsed["Bcc"] is None
    page = parsed.get_body(("html",))
    assert page is not None
    assert "<script" not in page.get_content()
    settings = check_config("slack", {"webhook_url": "https://hooks.example.com/x"})
    assert isinstance(settings, SlackSettings)
    blocks = str(payload(settings, found))
    assert "<!channel>" not in blocks
    assert "<script" not in blocks
    for shown in (render(found), blocks):
        assert not re.search("[\x1b\u202e\r]", shown)


@given(st.text(max_size=3_000), st.dictionaries(st.text(min_size=1), st.text(), max_size=20))
def test_any_text_makes_a_message_within_slacks_limits(text: str, labels: dict[str, str]) -> None:
    settings = check_config("slack", {"webhook_url": "https://hooks.example.com/x"})
    assert isinstance(settings, SlackSettings)
    found = message(firing_event(rule_name=text, description=text, labels=labels))
    shown = payload(settings, found)
    for block in shown["blocks"]:
        texts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
        limit = 150 if block["type"] == "header" else 3_000
        assert all(1 <= len(one["text"]) <= limit for one in texts if one)
    assert render(found)


def test_the_console_block_is_readable() -> None:
    block = render(message(firing_event(runbook_url="https://runbooks.example.com/1")))
    for shown in (
        "FIRING warning: High Response Time Alert",
        "1,234.5 ms",
        "> 1,000 ms",
        "host=a1, service=api",
        "runbooks",
    ):
        assert shown in block
    assert "\x1b" not in block
    assert "\x1b[" in render(message(firing_event()), colour=True)
