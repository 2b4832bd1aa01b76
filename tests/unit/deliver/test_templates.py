"""Templates of channels: what they may be made of, and that one that is refused stops no message."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.engine.test_template_syntax import REFUSED

from tocsin.deliver import templates
from tocsin.deliver.message import compose
from tocsin.deliver.templates import TemplateError, check_template, render_template
from tocsin.testing.alerts import Addressee, firing_event

LISTED = "1. b 2. a! "
VALUES: dict[str, Any] = {
    "title": "Slow",
    "value": 1.5,
    "labels": {"host": "a1"},
    "group_labels": {},
    "alerts": [{"labels": {"host": host}, "status": status} for host, status in (("b", "firing"), ("a", "resolved"))],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ title }}: {{ value }}\n", "Slow: 1.5"),
        (
            "{% for a in alerts %}{{ loop.index }}. {{ a.labels.host }}{{ '!' if a.status != 'firing' }} {% endfor %}",
            LISTED,
        ),
        ("{{ alerts | length }}: {{ alerts | map(attribute='labels.host') | sort | join(', ') }}", "2: a, b"),
        (
            "{{ (alerts | first).labels.host }}{% if alerts | length > 1 %}{{ alerts[1].labels['host'] }}{% endif %}",
            "ba",
        ),
        ("{{ alerts[0].labels.host }}{% for a in alerts[:5] %}{{ loop.last }}{% endfor %}", "bFalseTrue"),
        ("{{ labels.host[:1] }}{{ labels.none[:1] }}{{ title[-2:] }}{{ title[1:2] }}", "aowl"),
        ("{{ {'firing': 'red', 'resolved': 'green'}.get(alerts[0].status, 'grey') }}", "red"),
        (
            "{{ [title, labels.host] | join('/') }}, {{ [value, 9] | max }}, {{ [] | min or 'none' }}",
            "Slow/a1, 9, none",
        ),
        ("{{ alerts | selectattr('status', 'equalto', 'firing') | list | length }} of {{ alerts | length }}", "1 of 2"),
        ("{{ alerts | rejectattr('labels.gone') | map(attribute='labels.host') | join }}", "ba"),
        ("{% for a in alerts | sort(attribute='labels.host') %}{{ a.labels.host }}{% endfor %}", "ab"),
        ("{% for name, text in labels.items() | sort %}{{ name }}={{ text }}{% endfor %}", "host=a1"),
        ("{{ '%d' | format(value) }} {{ '%.2f' % value }} {{ '%s, %s' % (title, labels.gone) }}", "1 1.50 Slow, "),
        ("{{ alerts | sum(attribute='value') }}", "0"),
        ("{% if group_labels %}a group{% else %}{{ labels.host }}{% endif %}", "a1"),
        ("{% for a in alerts if a.status == 'firing' %}{{ a.labels.host }}{% endfor %}{{ labels }}", "b{'host': 'a1'}"),
        ("{{ '%6.2f%% of %s' | format(value, labels.host) }}", "  1.50% of a1"),
        ("{{ 5400 | humanizeDuration }}, {{ (value * 1000) | humanize }}", "1h 30m 0s, 1.5k"),
    ],
)
def test_what_they_give(template: str, text: str) -> None:
    check_template(template)
    assert render_template(template, VALUES) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ alerts[1].labels.host }}", "`alerts[1]` is undefined; what may be missing needs an {% if %}"),
        ("{{ labels.zone.upper() }}", "`labels.zone` is undefined); what may be missing needs an {% if %}"),
        ("{{ labels.items() | max }}", "a list or mapping is no operand"),
        ("{{ '%x' | format(value) }}", "%x format: an integer is required, not float"),
        (
            "{{ description | truncate(9) }}",
            "line 1: the filter truncate is not for templates; write {{ description[:100]",
        ),
        ("{{ labels.host | default(value='x') }}", "default takes 2 arguments; write {{ labels.host | default('none')"),
        (
            "{{ '{:.1f}'.format(value) }}",
            "the method 'format' is not for templates; write {{ '%.2f' | format(value) }}",
        ),
    ],
)
def test_what_fails_on_an_alert_is_refused_with_its_mend(template: str, said: str) -> None:
    with pytest.raises(TemplateError) as refused:
        check_template(template)
    assert said in str(refused.value)


@pytest.mark.parametrize("template", REFUSED)
def test_one_that_is_refused_is_neither_taken_nor_rendered(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_environment", None)  # using it would be another error
    for used in (lambda: check_template(template), lambda: render_template(template, VALUES)):
        with pytest.raises(TemplateError, match=r"^the template cannot be used: (line 1|has 8,209 characters).*[;,] "):
            used()


def test_one_that_was_stored_before_it_was_refused_leaves_the_plain_text() -> None:
    told = Addressee("ops", "email").notification(firing_event())
    failing = compose(told, "https://example.com", "{{ 1 / 0 }}")
    assert compose(told, "https://example.com", "{{ labels.copy() }}").summary == failing.summary
    assert "1,234.5 ms" in failing.summary[0]
