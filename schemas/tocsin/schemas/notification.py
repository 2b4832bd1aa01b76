"""A notification, one per event and channel, and the record of each attempt to deliver it."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.labels import stable_id

Outcome = Literal["delivered", "retrying", "rate limited", "failed", "unroutable"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What a notification of several alerts says: why now, of which route and labels, and each alert as it is.

    Of very many alerts the last `truncated` are left out. `reason` is `first`, `new`, `worse`, `again` (a
    reminder, or an acknowledgement is over), `some resolved`, `all resolved` or `repeat`; `acknowledged` or
    `unacknowledged` for channels that keep an incident, when that is so of all of it or not any more; `digest` where a
    channel's rate limit made one message of several. Of an `incident`, which is named by its id, `why` says of its
    alerts why they belong to it.
    """

    route: str
    labels: dict[str, str]
    reason: str
    alerts: tuple[AlertEvent, ...]
    truncated: int = 0
    incident: str = ""
    why: dict[str, str] = {}

    @property
    def status(self) -> str:
        """`firing` while one of its alerts is active, else `resolved`."""
        return "firing" if any(one.status != "resolved" for one in self.alerts) else "resolved"


class Notification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a delivery consumer is to send; lies on `notifications.<channel type>`, keyed by `group_key`.

    `id` is a function of the event (or of the group and the number in it) and the channel: every repeat carries the
    same one. `test` marks a test send. Of a `group`, `event` is the worst of its alerts. `note` is said before all
    else. `instead_of` names the channels that could not be told, the first one first.
    """

    id: str
    channel_id: str
    channel_type: str
    group_key: str
    event: AlertEvent
    created_at: str
    test: bool = False
    group: Group | None = None
    note: str = ""
    instead_of: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """That of the group, or of the alert."""
        return self.group.status if self.group else self.event.status


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, on `deliveries`, keyed by notification id.

    `retrying` names the time of the next attempt, and `rate limited`, which stands for none yet (`attempt` is 0), the
    time before which there is none; `failed` is final and lies on `dlq` too; `unroutable` means that no
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


class Remembered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a channel said about an alert or a group that goes on; on `messages`, keyed by `key`, until that is over.

    `reference` is where its message lies at the receiver, `episode` when what it is about began. `fallback` is the
    channel that was told instead.
    """

    channel_id: str
    channel_type: str
    group_key: str
    notification_id: str
    episode: str
    reference: dict[str, str] = {}
    fallback: str = ""

    @property
    def key(self) -> str:
        """The channel and what it spoke about."""
        return f"{self.channel_id}/{self.group_key}"


def fallback_id(notification_id: str, channel_id: str) -> str:
    """The id of a notification that is given to a fallback: the same for every repeat."""
    return stable_id("fallback", notification_id, channel_id)
