"""A decision: why somebody was told of an alert at a time, or was not."""

from typing import Literal

import msgspec

Outcome = Literal[
    "sent", "waiting", "inhibited", "outside hours", "silenced", "no route",
    "escalated", "passed over", "nobody on call", "acknowledged", "no policy", "policy over",
]  # fmt: skip


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alert, one outcome, on `decisions`, keyed by fingerprint; written when it differs from the one before.

    `by` names what kept it quiet: fingerprints of alerts, ids of silences, names of time intervals, or a person.
    `until` is how long it waits at the latest. `channels` are who was told, or would have been. Of what was sent,
    `reason` is that of the notification, and `notifications` are the ids under which `deliveries` says what became of
    it. What concerns an escalation policy names it in `policy`, the step, counted from 1, in `step`, and the people
    that were found in `people`.
    """

    id: str
    at: str
    fingerprint: str
    rule_id: str
    event_id: str
    outcome: Outcome
    reason: str = ""
    by: tuple[str, ...] = ()
    route: str = ""
    group_key: str = ""
    channels: tuple[str, ...] = ()
    notifications: tuple[str, ...] = ()
    until: str | None = None
    policy: str = ""
    step: int = 0
    people: tuple[str, ...] = ()
