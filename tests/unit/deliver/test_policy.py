"""When delivery tries again: the schedule, Retry-After, verdicts, the breaker and the rate limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.policy import (
    MAX_RETRY_AFTER_S,
    Breaker,
    Bucket,
    Retry,
    Verdict,
    http_verdict,
    parse_retry_after,
    smtp_verdict,
)

POLICY = Retry(attempts=5, initial_ms=1_000, max_ms=5_000, within_ms=60_000)
NOW_MS = 1_764_000_000_000  # 2025-11-24T16:00:00Z


def test_the_ceiling_doubles_up_to_the_longest_wait() -> None:
    waits = [POLICY.next_wait_ms(attempt, 0, 0.999_999) for attempt in range(1, 6)]
    assert waits == [999, 1_999, 3_999, 4_999, None]


def test_full_jitter_reaches_down_to_zero() -> None:
    assert POLICY.next_wait_ms(3, 0, 0.0) == 0
    assert POLICY.next_wait_ms(3, 0, 0.5) == 2_000


def test_a_channel_rests_longer_with_each_failure_but_asks_within_half_a_minute() -> None:
    retry = Retry(attempts=30, initial_ms=1_000, max_ms=300_000, within_ms=3_600_000)
    assert [retry.rest_ms(failures, 0.0) for failures in (0, 1, 3, 9, 900)] == [500, 1_000, 4_000, 15_000, 15_000]
    assert retry.rest_ms(900, 0.999) < 30_000


def test_after_the_deadline_there_is_no_attempt_and_before_it_there_is_one_more() -> None:
    assert POLICY.next_wait_ms(1, 60_000, 0.5) is None
    assert POLICY.next_wait_ms(4, 59_900, 0.999) == 100


@given(
    st.integers(1, 1_000),
    st.integers(0, 10_000_000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e12),
)
def test_the_receivers_wish_is_never_undercut_and_never_absurd(
    attempt: int, elapsed_ms: int, chance: float, retry_after_s: float | None
) -> None:
    policy = Retry(attempts=1_000, initial_ms=100, max_ms=10_000, within_ms=9_000_000)
    wait_ms = policy.next_wait_ms(attempt, elapsed_ms, chance, retry_after_s)
    if attempt >= 1_000 or elapsed_ms >= 9_000_000:
        assert wait_ms is None
        return
    assert wait_ms is not None
    if retry_after_s is None:
        assert 0 <= wait_ms <= min(10_000, 9_000_000 - elapsed_ms)
    else:
        assert wait_ms >= int(min(retry_after_s, MAX_RETRY_AFTER_S) * 1_000)
        assert wait_ms <= MAX_RETRY_AFTER_S * 1_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("0", 0.0),
        ("30", 30.0),
        (" 1.5 ", 1.5),
        ("999999999999999999999", MAX_RETRY_AFTER_S),
        ("Mon, 24 Nov 2025 16:00:20 GMT", 20.0),
        ("Mon, 24 Nov 2025 15:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("Fri, 31 Feb 2025 99:99:99 GMT", None),
        ("²", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW_MS) == seconds


@given(st.text())
def test_no_retry_after_header_breaks_the_parser(text: str) -> None:
    found = parse_retry_after(text, NOW_MS)
    assert found is None or 0 <= found <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.DELIVERED, (200, 201, 202, 204)),
        (Verdict.TRANSIENT, (408, 425, 429, 500, 502, 503, 504, 521, 599)),
        (Verdict.AUTHENTICATION, (401, 403, 407)),
        (Verdict.PERMANENT, (300, 301, 302, 307, 308, 400, 404, 405, 410, 413, 415, 422, 501, 505)),
    ],
)
def test_what_an_http_status_means(verdict: Verdict, statuses: tuple[int, ...]) -> None:
    assert {http_verdict(status) for status in statuses} == {verdict}


@pytest.mark.parametrize(
    ("verdict", "codes"),
    [
        (Verdict.DELIVERED, (220, 250, 354)),
        (Verdict.TRANSIENT, (-1, 421, 450, 451, 452)),
        (Verdict.AUTHENTICATION, (530, 534, 535)),
        (Verdict.PERMANENT, (500, 550, 552, 554)),
    ],
)
def test_what_an_smtp_code_means(verdict: Verdict, codes: tuple[int, ...]) -> None:
    assert {smtp_verdict(code) for code in codes} == {verdict}


def test_the_breaker_rests_after_many_failures_and_wakes_when_the_receiver_answers() -> None:
    breaker = Breaker(limit=3)
    for _ in range(2):
        breaker.failed(5_000, asked=False)
    assert breaker.wait_ms(1_000) == 0
    breaker.failed(6_000, asked=False)
    assert breaker.wait_ms(1_000) == 5_000
    breaker.answered()
    assert breaker.wait_ms(1_000) == 0


def test_the_breaker_rests_at_once_when_the_receiver_asks_for_it() -> None:
    breaker = Breaker()
    breaker.failed(31_000, asked=True)
    breaker.failed(2_000, asked=True)
    assert breaker.wait_ms(1_000) == 30_000


@given(st.integers(1, 5), st.integers(1, 100), st.lists(st.integers(0, 60), max_size=60))
def test_no_window_holds_more_sends_than_the_limit(count: int, per_ms: int, gaps: list[int]) -> None:
    bucket, now_ms, sent = Bucket.empty(count, per_ms), 0, []
    for gap in gaps:
        now_ms += gap
        now_ms += bucket.wait_ms(now_ms)
        bucket.take(now_ms)
        sent.append(now_ms)
    for at_ms in sent:
        assert sum(at_ms <= other < at_ms + per_ms for other in sent) <= count
