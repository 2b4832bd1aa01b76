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
        ("{% if alerts %}{{ (alerts | first).labels.host }}{{ alerts[1].labels['host'] }}{% endif %}", "ba"),
        ("{% if group_labels %}a group{% else %}{{ labels.host }}{% endif %}", "a1"),
        ("{% for a in alerts if a.status == 'firing' %}{{ a.labels.host }}{% endfor %}{{ labels }}", "b{'host': 'a1'}"),
        ("{{ '%6.2f%% of %s' | format(value, labels.host) }}", "  1.50% of a1"),
        ("{{ 5400 | humanizeDuration }}, {{ (value * 1000) | humanize }}", "1h 30m 0s, 1.5k"),
    ],
)
def test_what_they_give(template: str, text: str) -> None:
    check_template(template)
    assert render_template(template, VALUES) == text


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
