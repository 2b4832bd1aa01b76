"""What a preview shows is what would be sent, and it names the template that is at fault."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.deliver.test_settings import FURTHER, SEED

from tocsin.deliver.channels import check_config
from tocsin.deliver.composer import Composer
from tocsin.deliver.preview import Preview, preview
from tocsin.deliver.samples import SAMPLE_RULE, sample_event
from tocsin.schemas.channel import Channel
from tocsin.schemas.rule import Rule
from tocsin.testing.delivering import BASE_URL

NOW_MS = 1_764_000_000_000
ALL = {**SEED, **FURTHER}


def shown(kind: str, rule: Rule = SAMPLE_RULE, *, resolved: bool = False, **config: Any) -> Preview:
    config = {**ALL[kind], **config}
    settings = check_config(kind, config)
    event = sample_event(rule, NOW_MS, resolved=resolved)
    return preview(Channel(id="ops", type=kind), settings, event, Composer(BASE_URL))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("resolved", [False, True])
def test_every_channel_shows_what_it_would_send_without_its_credentials(kind: str, *, resolved: bool) -> None:
    found = shown(kind, resolved=resolved)
    text = str(found.sent).replace("\\", "")  # as Markdown escapes it
    assert ("Resolved after 9m" if resolved else "response_time is 1,200") in text
    assert not [secret for secret in ("hunter22", "abcdef123456", "s3cret", "canary", "R0UT1NGKEY") if secret in text]
    assert (found.text_by, found.problems) == ("", ())


def test_the_channels_template_makes_the_text_unless_the_rule_has_its_own() -> None:
    found = shown("slack", template="{{ labels.service }} took {{ value }}")
    assert found.text_by == "config.template"
    assert "api took 1200" in str(found.sent)
    texts = {"message": "for all", "message_slack": "{{ labels.host }} of {{ rule_name }}"}
    rule = SAMPLE_RULE.model_copy(update={"annotations": texts})
    found = shown("slack", rule, template="{{ labels.service }} took {{ value }}")
    assert found.text_by == "annotations.message_slack"
    assert "a1 of High Response Time Alert" in str(found.sent)


def test_a_template_that_fails_on_the_alert_is_named_with_its_line() -> None:
    fails = "{% if labels.service %}\n{{ labels.service.at.all }}{% endif %}"  # not on what has no such label
    found = shown("email", template=fails, subject=fails)
    assert [one.field for one in found.problems] == ["config.template", "config.subject"]
    assert "line 2: " in found.problems[0].message
    assert "response_time is 1,200" in found.sent["text"]  # what is sent instead
    found = shown("slack", SAMPLE_RULE.model_copy(update={"annotations": {"message": "\n{{ labels | nosuch }}"}}))
    (unknown,) = found.problems
    assert str(unknown).startswith("annotations.message: line 2: filter nosuch is unknown; there are humanize, ")
    (silent,) = shown("slack", template="{{ labels.none }}").problems
    assert "says nothing" in silent.message


@pytest.mark.parametrize(
    "body",
    [
        {"condition": "range", "lower": 1, "upper": 2},
        {"threshold": 0, "operator": "lt", "match": ["service=shop"]},
        {"condition": "absence", "duration": "5m"},
        {"levels": [{"severity": "info", "threshold": 1}, {"severity": "critical", "threshold": 5}]},
        {"threshold": 5, "window": {"size": "1m"}, "group_by": ["region"]},
    ],
)
def test_rules_of_all_kinds_have_a_sample(body: dict[str, Any]) -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", **body})
    event = sample_event(rule, NOW_MS)
    assert (event.rule_id, event.status) == ("r", "firing")
    if "match" in body:
        assert event.labels["service"] == "shop"
        assert event.value == -1.0
