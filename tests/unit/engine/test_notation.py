"""Series and values as Prometheus' rule tests write them."""

from __future__ import annotations

import re

import pytest

from tocsin.engine.testing.notation import format_labels, parse_series, parse_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3", (3.0,)),
        ("1 2.5 -3 +4 .5 1e3", (1.0, 2.5, -3.0, 4.0, 0.5, 1_000.0)),
        ("0+10x3", (0.0, 10.0, 20.0, 30.0)),
        ("10-2.5x2", (10.0, 7.5, 5.0)),
        ("-2-2x2", (-2.0, -4.0, -6.0)),
        ("-2+1x2", (-2.0, -1.0, 0.0)),
        ("5x2", (5.0, 5.0, 5.0)),
        ("1x0", (1.0,)),
        ("1e1+1e1x1", (10.0, 20.0)),
        ("_ 1 _x2 stale 2", (None, 1.0, None, None, None, 2.0)),
    ],
)
def test_values_are_counted_as_prometheus_counts_them(text: str, values: tuple[float | None, ...]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no value; write 3, 5x3"),
        ("1 2 three", "'three' is not a value; write 3"),
        ("1+x3", "'1+x3' is not a value"),
        ("1x", "'1x' is not a value"),
        ("NaN", "'NaN' is not a value"),
        ("1x1000000000", "is not a value"),
        ("0+1x2000000", "makes more than 1000000 values; write fewer"),
        ("1x999998 1 1", "'1' makes more than 1000000 values"),
        ("1e400", "goes beyond what a number can hold"),
    ],
)
def test_what_is_no_value_is_quoted_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_values(text)


@pytest.mark.parametrize(
    ("text", "series"),
    [
        ("up", ("up", {})),
        ("up{}", ("up", {})),
        ('http_errors{service="api", zone="a,b"}', ("http_errors", {"service": "api", "zone": "a,b"})),
        ('m{path="C:\\\\x", said="\\"hi\\""}', ("m", {"path": "C:\\x", "said": '"hi"'})),
        ('cpu.load{"host name"="a 1"}', ("cpu.load", {"host name": "a 1"})),
    ],
)
def test_a_series_is_a_name_and_labels(text: str, series: tuple[str, dict[str, str]]) -> None:
    assert parse_series(text) == series


@pytest.mark.parametrize("text", ["", "{a=b}", "m{a=b", "m{a!=b}", "m{a=b,a=c}", "m{a}", "m{a=b}x"])
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=";"):
        parse_series(text)


def test_labels_are_written_in_the_order_of_their_names() -> None:
    assert format_labels({"b": "2", "a": '"'}) == '{a="\\"", b="2"}'
    assert format_labels({}) == ""
