"""Query parameters and preconditions: what is wrong is named, and never reaches the database."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from tocsin.api.problems import Problem
from tocsin.api.requests import alert_filter, check_precondition, duration_ms, fields, instant, known, page


@pytest.mark.parametrize("limit", ["0", "501", "-1", "", "x", "1.5", "²", "٣", "9" * 5_000])
def test_a_limit_out_of_bounds_is_named_in_a_short_line(limit: str) -> None:
    with pytest.raises(Problem) as refused:
        page(make_mocked_request("GET", f"/?limit={limit}"))
    assert (refused.value.status, refused.value.errors[0].field) == (400, "limit")
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    "text",
    ["253402300800000", "9" * 15, "9" * 5_000, "-1", "0001-01-01T00:00:00%2B23:59", "1969-12-31T23:59:59Z", "", "now"],
)
@pytest.mark.parametrize("name", ["from", "to"])
def test_a_time_that_cannot_be_written_is_named(name: str, text: str) -> None:
    with pytest.raises(Problem) as refused:
        instant(make_mocked_request("GET", f"/?{name}={text}"), name)
    assert (refused.value.status, refused.value.errors[0].field) == (400, name)
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    ("text", "at_ms"), [("0", 0), ("253402300799999", 253_402_300_799_999), ("1970-01-01T01:00:00+01:00", 0)]
)
def test_times_from_1970_to_9999_are_read(text: str, at_ms: int) -> None:
    assert instant(make_mocked_request("GET", f"/?from={text}"), "from") == at_ms


@pytest.mark.parametrize("text", ["9" * 5_000, "99999999999w", "x", ""])
def test_a_length_out_of_bounds_is_named(text: str) -> None:
    with pytest.raises(Problem) as refused:
        duration_ms(make_mocked_request("GET", f"/?bucket={text}"), "bucket", "1h")
    assert (refused.value.status, refused.value.errors[0].field) == (400, "bucket")


@pytest.mark.parametrize("given", ["crit", "", ",", "warning,crit", "warning&severity=x"])
def test_a_severity_that_is_none_is_refused_with_those_there_are(given: str) -> None:
    with pytest.raises(Problem) as refused:
        alert_filter(make_mocked_request("GET", f"/?severity={given}"))
    assert (refused.value.status, refused.value.errors[0].field) == (400, "severity")
    assert "critical, error, warning, info" in refused.value.detail


def test_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(Problem, match="pending, firing, acknowledged, resolved"):
        alert_filter(make_mocked_request("GET", "/?status=active"))


def test_an_empty_value_is_refused_and_several_are_taken() -> None:
    request = make_mocked_request("GET", "/?rule_id=a,b&rule_id=c&enabled=TRUE&category=")
    assert fields(request, ("rule_id",)) == {"rule_id": ["a", "b", "c"]}
    assert known(request, {"enabled": ("true", "false")}) == {"enabled": ["true"]}
    with pytest.raises(Problem, match="category: is empty"):
        fields(request, ("category",))


@pytest.mark.parametrize("tags", ["*", '"7"', 'W/"7"', '"6", "7"', '"6",W/"7"', ' "7" ', '"a, b", "7"'])
def test_if_match_takes_lists_and_weakened_tags(tags: str) -> None:
    check_precondition(make_mocked_request("PUT", "/", headers={"If-Match": tags}), 7)
    with pytest.raises(Problem, match="If-None-Match"):
        check_precondition(make_mocked_request("PUT", "/", headers={"If-None-Match": tags}), 7)


@pytest.mark.parametrize("tags", ['"8"', 'W/"70"', '"6", "8"', "7", "", '"*"'])
def test_if_match_refuses_every_other_tag(tags: str) -> None:
    with pytest.raises(Problem) as refused:
        check_precondition(make_mocked_request("PUT", "/", headers={"If-Match": tags}), 7)
    assert refused.value.status == 412
    check_precondition(make_mocked_request("PUT", "/", headers={"If-None-Match": tags}), 7)


def test_nothing_matches_what_is_not_there() -> None:
    with pytest.raises(Problem, match="nothing"):
        check_precondition(make_mocked_request("PUT", "/", headers={"If-Match": "*"}), None)
    check_precondition(make_mocked_request("PUT", "/", headers={"If-None-Match": "*"}), None)
