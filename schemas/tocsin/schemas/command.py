"""A command: what a person wants done with an alert, or an escalation policy."""

from typing import Annotated, Literal

import msgspec

from tocsin.schemas.alert import Escalation
from tocsin.schemas.instant import MAX_MS, InstantMs, Integer

CommandType = Literal["acknowledge", "snooze", "unacknowledge", "resolve", "trigger", "escalate"]
AcknowledgeReason = Literal["", "false_positive"]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alert that a `trigger` command raises; a `drill` is an exercise."""

    rule_id: str
    rule_name: str
    severity: str = "warning"
    category: str = ""
    description: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    value: float | None = None
    threshold: float | None = None
    operator: str | None = None
    unit: str | None = None
    notifications: tuple[str, ...] = ()
    runbook_url: str = ""
    escalation_policy: str = ""
    drill: bool = False


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keyed by fingerprint on `commands`. `at_ms` is when the API took it; `id` makes a repeat known.

    `starts_at` is the episode that is meant, as the alert's events write it: one that comes late must not touch the
    next one. Without it, the current one is meant.

    `until_ms` is when an acknowledgement ends by itself, a snooze is over, or a triggered alert resolves itself.
    `remind_every_ms` is how often channels are told that what is acknowledged still fires. `reason` is why it is
    acknowledged, where that says something about its rule.

    `escalate` is what route says when nobody answered; it does nothing unless the alert's last event is still that with
    the number `sequence`.
    """

    id: str
    type: CommandType
    fingerprint: str
    actor: str
    at_ms: InstantMs
    comment: str = ""
    trigger: Trigger | None = None
    starts_at: str | None = None
    sequence: Integer | None = None
    escalation: Escalation | None = None
    until_ms: InstantMs | None = None
    remind_every_ms: Milliseconds = 0
    reason: AcknowledgeReason = ""
