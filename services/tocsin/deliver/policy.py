"""When to try again, and when to give up. Pure: time and chance come as arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

# Nobody's receiver needs a longer rest, and an absurd answer must not silence a channel for a year.
MAX_RETRY_AFTER_S = 3_600.0
# However long a receiver has been away, a channel with many waiting asks so often whether it is back. A notification's
# own wait is not cut short for that: its attempts would be used up before its time is.
MAX_REST_MS = 30_000
_MAX_DOUBLINGS = 40
_SEVERITIES = ("critical", "error", "warning", "info")


class Verdict(StrEnum):
    """What an answer means for the notification."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    AUTHENTICATION = "authentication"


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with full jitter: before attempt n + 1 a wait of 0 to min(max, initial * 2^(n-1))."""

    attempts: int
    initial_ms: int
    max_ms: int
    within_ms: int

    def next_wait_ms(
        self, attempt: int, elapsed_ms: int, chance: float, retry_after_s: float | None = None
    ) -> int | None:
        """How long to wait after attempt number `attempt` failed; None when it was the last.

        `elapsed_ms` is the time since the first attempt began, `chance` lies in [0, 1). The receiver's wish is never
        undercut; an attempt that it puts beyond `within_ms` is still made, since giving up would lose what can be sent.
        """
        assert attempt >= 1
        assert 0.0 <= chance < 1.0
        if attempt >= self.attempts or elapsed_ms >= self.within_ms:
            return None
        ceiling_ms = min(self.max_ms, self.initial_ms << min(attempt - 1, _MAX_DOUBLINGS))
        wait_ms = int(chance * ceiling_ms)
        if retry_after_s is not None:
            return max(wait_ms, int(min(retry_after_s, MAX_RETRY_AFTER_S) * 1_000))
        # The last attempt is made at the deadline, not thrown away because the dice asked for more.
        return min(wait_ms, self.within_ms - elapsed_ms)

    def rest_ms(self, failures: int, chance: float) -> int:
        """How long a channel rests after so many failures in a row beyond what its breaker bears, whichever
        notifications they were of: half to all of min(max, `MAX_REST_MS`, initial * 2^failures)."""
        ceiling_ms = min(self.max_ms, MAX_REST_MS, self.initial_ms << min(max(0, failures), _MAX_DOUBLINGS))
        return int((1 + chance) / 2 * ceiling_ms)


def urgency_of(severity: str) -> int:
    """0 is what goes first; a word of its own goes last."""
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def parse_retry_after(text: str | None, now_ms: int) -> float | None:
    """Seconds to wait by a `Retry-After` header: a number or an HTTP date, at most an hour; None if it says nothing."""
    if not text:
        return None
    text = text.strip()
    # Slack and others write "1.5"; a very long number is absurd, not an error.
    digits = text.replace(".", "", 1)
    if digits.isascii() and digits.isdigit():
        return MAX_RETRY_AFTER_S if len(digits) > 9 else min(float(text), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.fromtimestamp(now_ms / 1_000, UTC)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


_TRANSIENT_STATUS = frozenset({408, 421, 423, 425, 429, 500, 502, 503, 504})


def http_verdict(status: int) -> Verdict:
    """What an HTTP status means. A redirect is an error of the configuration: it is never followed."""
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status in (401, 403, 407):
        return Verdict.AUTHENTICATION
    if status in _TRANSIENT_STATUS or 506 <= status < 600:
        return Verdict.TRANSIENT
    return Verdict.PERMANENT


_SMTP_AUTHENTICATION = frozenset({530, 534, 535, 538})


def smtp_verdict(code: int) -> Verdict:
    """What an SMTP reply code means: 4xx comes again later, 5xx is final, -1 is a connection that broke."""
    if 200 <= code < 400:
        return Verdict.DELIVERED
    if code in _SMTP_AUTHENTICATION:
        return Verdict.AUTHENTICATION
    return Verdict.PERMANENT if 500 <= code < 600 else Verdict.TRANSIENT


@dataclass(slots=True)
class Breaker:
    """Keeps a channel at rest: as long as its receiver asked for, and between attempts once it fails time and again.

    Without it, each of a thousand waiting notifications would knock at a door that stays shut.
    """

    limit: int = 5
    failures: int = 0
    rests_until_ms: int = 0

    def failed(self, until_ms: int, *, asked: bool) -> None:
        """A transient failure, which calls for rest until `until_ms`; `asked` when the receiver named that time."""
        self.failures += 1
        if asked or self.failures >= self.limit:
            self.rests_until_ms = max(self.rests_until_ms, until_ms)

    def answered(self) -> None:
        """The receiver took or refused a message: it lives."""
        self.failures = 0
        self.rests_until_ms = 0

    def wait_ms(self, now_ms: int) -> int:
        """How long no attempt may be made."""
        return max(0, self.rests_until_ms - now_ms)


@dataclass(slots=True)
class Bucket:
    """At most `count` sends in any stretch of `per_ms`: the times of the latest `count` sends decide."""

    count: int
    per_ms: int
    _sent: list[int]

    @classmethod
    def empty(cls, count: int, per_ms: int) -> Bucket:
        """One from which nothing was taken."""
        return cls(count, per_ms, [])

    def wait_ms(self, now_ms: int) -> int:
        """How long until one more may be sent; 0 means now."""
        if len(self._sent) < self.count:
            return 0
        return max(0, self._sent[0] + self.per_ms - now_ms)

    def take(self, now_ms: int) -> None:
        """One is sent now."""
        assert self.wait_ms(now_ms) == 0
        self._sent.append(now_ms)
        del self._sent[: -self.count]
