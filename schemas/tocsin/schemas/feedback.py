"""Feedback: whether an alert was right, said of one episode of it, while it is active or long after."""

from typing import Literal

import msgspec

Verdict = Literal["false_positive", "real"]


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """On `feedback`, keyed by fingerprint; of one episode the latest counts.

    `starts_at` and `ends_at` are the episode's as the alert's events write them; without an end it was active then.
    `real` takes back that somebody called it false.
    """

    fingerprint: str
    starts_at: str
    ends_at: str | None = None
    rule_id: str
    labels: dict[str, str]
    verdict: Verdict
    by: str
    at: str
    comment: str = ""
