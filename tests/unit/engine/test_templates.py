"""Templates of users: what they give, and that a hostile one gives no more than a text."""

from __future__ import annotations

import pytest
from tests.unit.engine.test_template_syntax import REFUSED

from tocsin.engine import templates
from tocsin.engine.templates import FAILED, check, render

LABELS = {"service": "<api>", "host": "a1"}
ITEMS = "1service=<api> 2host=a1"
NOBODY = "nobody none False"
JOINED = 'a1:10 ab abab ["host", "service"]'
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
        ("{% if value > 2000 %}a{% elif labels.host == 'a1' %}b{% else %}c{% endif %}", "b"),
        (
            "{% for k, v in labels.items() %}{{ loop.index }}{{ k }}={{ v }}{{ ' ' if not loop.last }}{% endfor %}",
            ITEMS,
        ),
        ("{% for k, v in labels | dictsort %}{{ k }} {% else %}none{% endfor %}", "host service "),
        ("{% for k in labels if k != 'host' %}{{ labels[k] | upper }}{% endfor %}", "<API>"),
        ("{% for i in range(1, 4) %}{{ i }}{% endfor %}", "123"),
        ("{% set over = value - threshold %}{{ over | round | int }} {{ -over / 2 ** 2 % 7 // 1 }}", "500 1"),
        ("{{ labels.get('team', 'nobody') }} {{ labels.team | default('none') }} {{ labels.team is defined }}", NOBODY),
        ("{{ 'web' if labels.service in ['web', 'api', -1] else 'other' }} {{ 'a' in labels.host }}", "other True"),
        (
            "{{ labels.keys() | sort(reverse=true) | join(', ') }} {{ labels | list | unique | length }}",
            "service, host 2",
        ),
        ("{{ labels.host.upper() }}{{ labels.host.replace('a', 'b').startswith('b') }}", "A1True"),
        ("{{ labels.host ~ ':' ~ (9 + 1) }} {{ 'a' + 'b' }} {{ 'ab' * 2 }} {{ labels | sort | tojson }}", JOINED),
        ("a {#- said {{ to }} nobody -#} b", "ab"),
        ("  {%- if true -%}  x  {%- endif -%}  y\n", "xy"),
        ("{{ value }}\n\n", "1500\n"),
        ("{ {%- if true %}{ 1 } {{ '{' }}{% endif %} }", "{{ 1 } { }"),
        ("{{ 'it\\'s \\\\ \\u00e9 \\n{{ \"%}' }}\r\n.", "it's \\ é \n{{ \"%}\n."),
        ("{{\u00a0labels.host\n}}{{ 1e3 }} {{ 0x1f }} {{ 1_000 }}", "a11000 31 1000"),
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
        ("{{ value\n | join(1, 2) }}", "line 2: join takes 1 argument; write {{ alerts | map("),
        ("{{ labels.clear() }}", "line 1: the method 'clear' is not for templates; write one of"),
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
        "{{ value | humanize(1) }}",
        "{{ labels.get() }}",
        "{{ labels.get }}{{ labels.items }}{{ labels.copy }}",
        "{% set x = 'abcdefgh' * 100 %}" + "{{ x }}" * 100,
    ],
)
def test_a_hostile_one_gives_a_short_text(source: str) -> None:
    assert len(render(source, VALUES)) <= 8_192
    assert LABELS == {"service": "<api>", "host": "a1"}


@pytest.mark.parametrize(
    "source",
    [
        "{% set s = [1] %}" + "{% set s = s + s %}" * 25 + "{{ s }}",
        "{{ range(99999) * 2 }}",
        "{{ labels.keys() + labels.keys() }}",
        "{% for i in range(9999) %}{{ range(99999) | humanize }}{% endfor %}",
        "{% for i in range(9999) %}{{ labels[range(99999)] }}{% endfor %}",
        "{% for i in range(9999) %}{{ labels.get('a', range(99999)) }}{% endfor %}",
        "{% for i in range(9999) %}{{ range(99999) in 'a' }}{% endfor %}",
        "{% for i in range(9999) %}{{ range(99999) == range(99999) }}{{ labels < expected }}{% endfor %}",
        "{% for i in range(9999) %}{{ labels.items() | map(attribute='0') | list | max }}{{ [1, labels] }}{% endfor %}",
        "{% for i in range(9999) %}{{ labels.items() | unique }}{% endfor %}",
    ],
)
def test_a_list_is_no_operand_and_no_argument(source: str) -> None:
    assert "a list or mapping is no operand and no argument" in render(source, VALUES)


def test_long_texts_are_not_sorted_over_and_over() -> None:
    source = "{% for i in range(9999) %}{{ labels.values() | SORT | length }}{% endfor %}"
    for name in ("sort", "unique"):
        shown = render(source.replace("SORT", name), VALUES | {"labels": {"a": "b" * 20_000, "b": "c" * 20_000}})
        assert "too long to sort" in shown


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_refused_is_never_rendered(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = check(source)
    monkeypatch.setattr(templates, "_environment", None)  # using it would be another error
    assert problem
    assert render(source, VALUES) == f"{FAILED}{problem}>"
