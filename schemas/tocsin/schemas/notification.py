"""A notification, one per event and channel, and the record of each attempt to deliver it."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import AlertEvent

Outcome = Literal["delivered", "retrying", "failed", "unroutable"]


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery consumer is to send; lies on `notifications.<channel type>`, keyed by `group_key`.

    `id` is a function of the event and the channel: every repeat carries the same one. `test` marks a test send.
    """

    id: str
    channel_id: str
    channel_type: str
    group_key: str
    event: AlertEvent
    created_at: str
    test: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, on `deliveries`, keyed by notification id.

    `retrying` names the time of the next attempt; `failed` is final and lies on `dlq` too; `unroutable` means that no
    enabled channel answers to the name that the rule gives. `detail` never holds a credential. `source` is where the
    notification lies: its partition and offset.
    """

    id: str
    notification_id: str
    channel_id: str
    channel_type: str
    event_id: str
    fingerprint: str
    rule_id: str
    event_type: str
    attempt: int
    outcome: Outcome
    at: str
    latency_ms: float = 0.0
    status_code: int | None = None
    receipt: str = ""
    detail: str = ""
    next_attempt_at: str | None = None
    source: tuple[int, int] | None = None
    test: bool = False
