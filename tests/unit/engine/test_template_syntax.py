"""What templates are made of: the attacks that are refused, and that whatever passes stays small."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.engine.template_nodes import FILTERS, METHODS, TESTS, Refused, literal
from tocsin.engine.template_syntax import MAX_LENGTH, rewritten
from tocsin.engine.template_values import PYTHONS, OfferedList, OfferedMapping, offered
from tocsin.engine.templates import FAILURES, bounded_environment

REFUSED = (
    "{{ [[1], [2]] }}",
    "{{ {'a': {'b': 1}} }}",
    "{{ {labels: 1} }}",
    "{{ labels.copy().fromkeys(range(99999)) }}",
    "{{ labels.copy() }}",
    "{{ labels.pop('host') }}",
    "{{ '{:>100000000}'.format(1) | length }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%.1000d' | format(1) }}",
    "{{ ('%' ~ 10 ** 9 ~ 'd') | format(1) }}",
    "{{ labels.host | format(1) }}",
    "{{ '%1000000000d'.__mod__(1) }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ labels.__class__.__mro__ }}",
    "{{ labels['a'].__class__ }}",
    "{{ labels._inner }}",
    "{{ labels | attr('copy') }}",
    "{{ labels.get()() }}",
    "{{ (labels.get)('a') }}".replace("(labels.get)", "[labels][0]"),
    "{{ labels.get(*labels) }}",
    "{{ labels.get(**labels) }}",
    "{{ labels.host[::2] }}",
    "{{ labels.host | cut(0, 1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{% set ns = namespace(x='a') %}",
    "{% set ns.x = 1 %}",
    "{% set a, b = labels %}",
    "{% set a %}{{ labels }}{% endset %}",
    "{% set range = labels.get %}",
    "{% set loop = 1 %}",
    "{{ dict(a=1) }}",
    "{{ cycler(1) }}{{ lipsum() }}{{ joiner() }}",
    "{{ range(1)(2) }}",
    "{{ range }}",
    "{{ loop.cycle(1, 2) }}",
    "{% for x in range(3) recursive %}{{ loop(x) }}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call m() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% with a = 1 %}{% endwith %}",
    "{% block a %}{% endblock %}",
    "{% extends 'a' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% raw %}{{ labels }}{% endraw %}",
    "{% do labels.clear() %}",
    "{{ labels | batch(1) }}",
    "{{ labels | slice(1) }}",
    "{{ labels | groupby('a') }}",
    "{{ labels | zip(labels) }}",
    "{{ labels | map('list') }}",
    "{{ labels | map('tojson', indent=1000000) }}",
    "{{ labels | tojson(indent=1000000000) }}",
    "{{ labels | indent(1000000000) }}",
    "{{ labels | truncate(9) }}",
    "{{ labels | safe }}",
    "{{ labels | wordwrap(1) }}",
    "{{ labels | pprint }}",
    "{{ labels | plain }}",
    "{{ labels | select('in', labels) }}",
    "{{ labels is eq labels }}",
    "{{ labels is divisibleby(3) }}",
    "{{ 1 < value < 3 }}",
    "{{ +value }}",
    "{{ 1e999 }}",
    "{{ 99999999999999999999 }}",
    "{{ " + "9" * 5_000 + " }}",
    "{{ '\\ud800' }}",
    "{{ \u00e9 }}",
    "{{ if }}",
    "{{ a.b.\u00e9 }}",
    "{{ " + "(" * 17 + "1" + ")" * 17 + " }}",
    "{% if 1 %}" * 17 + "{% endif %}" * 17,
    "{{ " + "not " * 300 + "1 }}",
    "{{ " + "-" * 4_000 + "1 }}",
    "{{ " + "1 if 1 else " * 60 + "1 }}",
    "{{ value" + " | abs" * 120 + " }}",
    "{{ " + "(" * 4_000,
    "{{ labels.host }}" + " " * MAX_LENGTH,
)
NESTED = (
    "{% set s = (labels, labels) %}",
    "{% set s = {'a': labels} %}",
    "{{ labels, labels }}",
    "{% set s = [1] %}" + "{% set s = [s, s] %}" * 22 + "{{ s }}",
    "{% set s = text.split('') %}{{ s[:9] }}",
    "{{ labels[:9] }}",
    "{{ alerts | selectattr('value', 'in', 'a') }}",
    "{{ [labels, labels] | max }}",
)
GIVEN: Mapping[str, Any] = {
    "labels": {f"l{number}": "v" * 300 for number in range(20)},
    "alerts": [{"labels": {"a": "b" * 300, "n": str(number)}, "value": number / 3} for number in range(50)],
    "value": 1.5,
    "text": "ab" * 4_000,
}
# All that one rendering may hand to Python, in elements of lists and 64 characters: conversions cost, and no fuel is
# taken before the value is there, so it is twice the fuel and the longest list that there can be.
MOST_HANDED = 200_000
MOST_GROWTH_KIB = 64 * 1024


@pytest.mark.parametrize("source", REFUSED)
def test_an_attack_is_refused_in_one_line_with_its_mend(source: str) -> None:
    with pytest.raises(Refused) as refused:
        rewritten(source)
    said = str(refused.value)
    assert re.fullmatch(r"(line 1|has 8,209 characters).*[;,] .+", said)
    assert len(said) < 600


@pytest.mark.parametrize("source", NESTED)
def test_what_would_nest_or_copy_lists_ends_in_one_line_with_its_mend(source: str) -> None:
    with pytest.raises(TypeError, match="; write "):
        bounded_environment().render_str(rewritten(source), **{name: offered(value) for name, value in GIVEN.items()})


@pytest.mark.parametrize(
    "deepest",
    [
        "{{ " + "(" * 16 + "not " * 160 + "1" + ")" * 16 + " }}",
        "{{ " + "(" * 16 + "-" * 160 + "1" + ")" * 16 + " }}",
        "{{ " + "(" * 16 + "1" + "+ 1" * 80 + ")" * 16 + " }}",
        "{{ 'a'" + ".upper()" * 48 + " }}",
        "{{ value" + " | abs" * 98 + " }}",
        "{% if value %}" + "{% elif value %}" * 450 + "{% endif %}",
    ],
)
def test_the_deepest_one_needs_few_calls_and_no_stack_of_the_engine(deepest: str) -> None:
    source = "{% if 1 %}" * 15 + deepest + "{% endif %}" * 15
    before = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 700)
    try:
        text = rewritten(source)
    finally:
        sys.setrecursionlimit(before)
    with suppress(*FAILURES):  # its parser has a bound of its own
        bounded_environment().render_str(text, **GIVEN)


@given(st.text() | st.text("\\\"'{}%#\n\r\0\u00a0 ab-"))
def test_a_text_stays_itself_as_a_literal(text: str) -> None:
    assert bounded_environment().render_str("{{ " + literal(text) + " }}") == text


PIECES = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", "\r\n", "raw", "endraw", "text", "if", "endif"]
) | st.sampled_from(
    [*"{}-+'\"\\\n\r\0\u00a0 ()[.%", "{{ text }}", "{% if value %}", "{% endif %}", "'}}'", "'{{'", "-%}", "{%-"]
)


@given(st.lists(PIECES, max_size=24).map("".join))
def test_what_is_left_outside_of_tags_can_make_none(source: str) -> None:
    try:
        text = rewritten(source)
    except Refused:
        return
    outside = re.sub(r'\{[{%](?:"(?:\\.|[^"\\])*"|\{  \}|[^"{}%]|%(?!\}))*[}%]\}', "", text)  # {  } is a mapping
    assert "{" not in outside


def _texts(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    named = st.tuples(
        inner, _texts(*FILTERS, "batch(2)", "zip", "format", "center(99999)", "map('list')", "groupby('a')")
    )
    called = st.tuples(inner, _texts(*METHODS, "copy", "fromkeys", "format", "__class__"), inner)
    joined = st.tuples(inner, _texts("+", "*", "~", "-", "**", "%", "/", "==", "<", "in", "and", "or"), inner)
    return st.one_of(
        named.map(lambda parts: f"({parts[0]} | {parts[1]})"),
        st.tuples(inner, _texts(*FILTERS), inner).map(lambda parts: f"({parts[0]} | {parts[1]}({parts[2]}))"),
        inner.map(lambda part: f"({part} | map(attribute='labels.a'))"),
        called.map(lambda parts: f"({parts[0]}.{parts[1]}({parts[2]}))"),
        called.map(lambda parts: f"({parts[0]}.{parts[1]}())"),
        joined.map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(inner, inner).map(lambda parts: f"{parts[0]}[{parts[1]}]"),
        st.tuples(inner, inner).map(lambda parts: f"[{parts[0]}, {parts[1]}]"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]}[:{parts[1]}])"),
        st.tuples(inner, inner).map(lambda parts: f"{{'a': {parts[0]}, 'b': {parts[1]}}}"),
        inner.map(lambda part: f"({part} | selectattr('labels.a', 'ne', {part}))"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} if {parts[1]} else {parts[2]})"),
        st.tuples(inner, _texts(*TESTS)).map(lambda parts: f"({parts[0]} is {parts[1]})"),
    )


EXPRESSIONS = st.recursive(
    _texts(
        "labels", "alerts", "value", "text", "s", "s", "i", "'x'", "9", "[1, 'a']", "range(99999)", "text.split('')"
    ),
    _grown,
    max_leaves=5,
)
SOURCES = st.recursive(
    st.one_of(
        EXPRESSIONS.map(lambda made: f"{{% set s = {made} %}}"),
        st.tuples(EXPRESSIONS, st.integers(1, 24)).map(lambda made: f"{{% set s = {made[0]} %}}" * made[1]),
        EXPRESSIONS.map(lambda made: f"{{{{ {made} }}}}"),
        EXPRESSIONS.map(lambda made: f"{{{{ ({made}) | length }}}}"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map("".join),
        st.tuples(EXPRESSIONS, inner).map(lambda made: f"{{% for i in {made[0]} %}}{made[1]}{{% endfor %}}"),
        inner.map(lambda made: f"{{% for i in range(9999) %}}{made}{{% endfor %}}"),
        st.tuples(EXPRESSIONS, inner).map(lambda made: f"{{% if {made[0]} %}}{made[1]}{{% endif %}}"),
    ),
    max_leaves=6,
)


def _size(value: Any) -> int:
    """Elements and texts, however they are shared; what was given goes back and forth as it is."""
    if isinstance(value, str):
        return 1 + len(value) // 64
    if isinstance(value, OfferedMapping | OfferedList | Counted):
        return 1
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list | tuple) else 1


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return 1 + max(map(_depth, inner), default=0)


class Handed:
    """Counts what one rendering hands to Python, in elements and texts, and refuses what is nested ever deeper."""

    def __init__(self) -> None:
        self.total = 0

    def count(self, *values: Any) -> None:
        """Take down values, however they are shared."""
        self.total += sum(map(_size, values))
        assert max(map(_depth, values), default=0) <= 5  # alerts, an alert, its labels, a text; or pairs of `items`

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its arguments counted."""

        def counted(*values: Any, **named: Any) -> Any:
            self.count(*values)
            return function(*values, **named)

        return counted


class Counted(Mapping[str, Any]):
    """A mapping that counts what it is asked for."""

    def __init__(self, inner: Mapping[str, Any], handed: Handed) -> None:
        self.inner, self.handed = inner, handed

    def __getitem__(self, name: Any) -> Any:
        self.handed.count(name)
        return self.inner[name]

    def get(self, name: Any, default: Any = None) -> Any:
        """One of the values, or the other one."""
        self.handed.count(name, default)
        return self.inner.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


@given(SOURCES)
@example("{% for i in range(9999) %}{{ labels[range(999)] }}{% endfor %}")
@example("{% for i in range(9999) %}{{ labels.get('a', text.split('')) }}{% endfor %}")
@example("{% for i in range(9999) %}{{ range(999) in 'a' }}{% endfor %}")
@example("{% for i in range(9999) %}{% set s = text[:7999] %}{% set s = alerts[:50] %}{% endfor %}")
@example("{% set s = range(9999) | list %}{% for i in range(9999) %}{% set s = s[:9999] %}{% endfor %}")
@example("{% for i in range(9999) %}{% set s = alerts | sort(attribute='labels.a') %}{% endfor %}")
@example("{% set s = text %}" + "{% set s = [s, s, s, s, s, s, s, s] | join %}" * 9)
@example("{% set s = s + s %}" * 18 + "{{ s }}")
@example("{% set s = [s, s] %}" * 12 + "{{ s }}")
def test_whatever_passes_is_bounded_in_output_memory_nesting_and_what_python_is_given(source: str) -> None:
    handed = Handed()
    environment = bounded_environment()
    for name, function in PYTHONS.items():
        environment.add_filter(name, handed.counting(function))
    environment.finalizer = handed.counting(lambda value: value)
    environment.undefined_behavior = "lenient"
    values = {name: offered(value) for name, value in GIVEN.items()} | {"labels": Counted(GIVEN["labels"], handed)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown = ""
    with suppress(*FAILURES):
        shown = environment.render_str(rewritten("{% set s = [1] %}{% set i = 1 %}" + source), **values)
    assert len(shown) <= 2 * 50_000
    assert handed.total <= MOST_HANDED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= MOST_GROWTH_KIB


def test_what_the_documentation_shows_passes() -> None:
    places = [*Path("docs").glob("*.md"), Path("README.md"), *Path("services/tocsin/demo").glob("*.yaml")]
    shown = {found for place in places for found in re.findall(r"\{\{ [a-z].*?\}\}", place.read_text())}
    assert len(shown) > 8
    for source in shown:
        rewritten(source)
