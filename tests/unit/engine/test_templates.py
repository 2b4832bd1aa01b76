"""Templates of users: what they give, and that a hostile one gives no more than a text."""

from __future__ import annotations

import pytest

from tocsin.engine.templates import check, render

LABELS = {"service": "<api>", "host": "a1"}
VALUES = {"labels": LABELS, "value": 1500.0, "threshold": 1000.0, "unit": "ms", "expected": {}}


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("plain", "plain"),
        ("{{ labels.service }} at {{ value }} {{ unit }}", "<api> at 1500 ms"),
        ("{{ value | round(1) }}", "1500"),
        ("{{ value / 7 }}", "214.285714286"),
        ("{{ $labels.host }} {{ .Labels.host }} {{ $value | humanize }}", "a1 a1 1.5k"),
        ("{{ 0.0525 | humanizePercentage }}", "5.25%"),
        ("{{ 3725 | humanizeDuration }}", "1h 2m 5s"),
        ("{{ labels.nothing }}", ""),
        ("{{ labels.nothing | humanize }}{{ expected.value | humanizeDuration }}", ""),
        ("{{ labels.host | humanize }} {{ '1500' | humanize }} {{ (1e308 * 10) | humanize_duration }}", "a1 1.5k inf"),
        ("{% if value > threshold %}high{% endif %}", "high"),
    ],
)
def test_what_they_give(source: str, shown: str) -> None:
    assert check(source) is None
    assert render(source, VALUES) == shown


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ value", "line 1"),
        ("{{ valve }}", "'valve' is not known"),
        ("{{ value | nothing }}", "filter nothing is unknown; there are humanize,"),
        ("{{ value | humanise }}", "filter humanise is unknown; did you mean 'humanize'?"),
        ("{{ value | humanize(2) }}", "humanize takes no arguments; write {{ value | humanize }}"),
        ("{{ labels.clear() }}", "has no attribute 'clear'"),
        ("{{ 'a' * 1000000000 }}", "too much work"),
    ],
)
def test_what_is_refused(source: str, problem: str) -> None:
    said = check(source)
    assert said is not None
    assert problem in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ labels.a.b.c }}",
        "{{ 1 / 0 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ labels.pop('host') }}{{ labels.clear() }}",
        "{{ value | humanize(1) }}",
        "{{ labels.get() }}",
        "{% set x = 'abcdefgh' * 100 %}" + "{{ x }}" * 100,
    ],
)
def test_a_hostile_one_gives_a_short_text(source: str) -> None:
    assert len(render(source, VALUES)) <= 8_192
    assert LABELS == {"service": "<api>", "host": "a1"}
