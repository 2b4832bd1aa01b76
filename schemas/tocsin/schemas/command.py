"""A command: what a person wants done with an alert, or an escalation policy."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import Escalation
from tocsin.schemas.instant import InstantMs, Integer

CommandType = Literal["acknowledge", "unacknowledge", "resolve", "trigger", "escalate"]


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alert that a `trigger` command raises."""

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


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """Keyed by fingerprint on `commands`. `at_ms` is when the API took it; `id` makes a repeat known.

    `starts_at` is the episode that is meant, as the alert's events write it: one that comes late must not touch the
    next one. Without it, the current one is meant.

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
