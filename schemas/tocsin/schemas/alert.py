"""An alert event: one transition of one alert, as it stands on the `alerts` topic."""

from typing import Any, Final, Literal

import msgspec

from tocsin.schemas.instant import Integer, parse_instant

AlertType = Literal[
    "pending", "firing", "changed", "acknowledged", "unacknowledged", "reminded", "escalated", "resolved"
]
AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]
EVENT_TYPE_PREFIX = "tocsin.alert."
SOURCE = "/tocsin"


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who took care of an alert, when (RFC 3339), and what they said.

    `until` is when it ends by itself, `remind_every_ms` how often channels are told meanwhile that it still fires.
    `snoozed` says that nobody takes care yet: it was put off until then. `reason` is `false_positive` where that is so.
    """

    by: str
    at: str
    comment: str = ""
    until: str | None = None
    remind_every_ms: Integer = 0
    snoozed: bool = False
    reason: str = ""


class Escalation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of an escalation policy that is taken: its place, counted from 1, and who is told.

    `round` counts how often the steps were gone through. `reason` is `unanswered`, `unacknowledged` (a step is taken
    again) or `worse` (a step that was passed over while the alert was milder). `people` are who is on call, or named.
    """

    policy: str
    step: int
    round: int = 1
    reason: str = "unanswered"
    people: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A transition, with the whole alert after it. All times are RFC 3339 in UTC.

    `starts_at` is when the condition began; `fired_at` when it had held for the rule's duration. `sequence` counts
    the transitions of this fingerprint, from 1 again where nothing of it was kept any more, a month after it was over:
    whoever orders by it looks at `starts_at` first. `notifications` are the rule's channels at that time,
    `escalation_policy` is its policy, and `escalation` the last step of that which was taken. `reason` says why it
    happened: `condition`, `no data`, `manual`, `escalation`, `rule deleted`, `rule disabled`, `rule changed` or `rule
    refused` (by a newer tocsin), or a time that came: `acknowledgement over`, `snooze over`, `reminder`, `time over` or
    `flapping over`. `changed` says that the alert reached another severity, or of one that flaps that its condition
    began, ended, or is calm; `reminded` that it still fires while somebody takes care of it. A `drill` is an exercise.

    `flapping` says of one that comes and goes too often: `started`, `ongoing`, `worse` than anything since then, or
    `stopped`; meanwhile it stays active.
    """

    id: str
    type: AlertType
    fingerprint: str
    sequence: int
    rule_id: str
    rule_name: str
    rule_revision: int = 0
    severity: str
    category: str = ""
    status: AlertStatus
    description: str = ""
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    value: float | None = None
    threshold: float | None = None
    operator: str | None = None
    unit: str | None = None
    expected: dict[str, float] | None = None
    starts_at: str
    fired_at: str | None = None
    ends_at: str | None = None
    updated_at: str
    evidence: dict[str, Any] | None = None
    acknowledged: Acknowledgement | None = None
    reason: str = "condition"
    actor: str | None = None
    comment: str = ""
    runbook_url: str = ""
    notifications: tuple[str, ...] = ()
    escalation_policy: str = ""
    escalation: Escalation | None = None
    drill: bool = False
    flapping: Literal["", "started", "ongoing", "worse", "stopped"] = ""

    @property
    def is_said_again(self) -> bool:
        """Whether those who heard of the alert are to hear of it once more: a time came at which it still fires, or it
        begins to flap or is calm."""
        if self.type == "changed":
            return self.flapping in ("started", "stopped")
        return self.type == "reminded" or (self.type == "unacknowledged" and self.reason != "manual")

    @property
    def is_noise(self) -> bool:
        """Whether nobody is to hear of it: it changes once more, as was said that it does."""
        return self.type == "changed" and self.flapping == "ongoing"

    @property
    def fired_ms(self) -> int:
        """When it fired, in epoch milliseconds; of what is pending, when its condition began."""
        return parse_instant(self.fired_at or self.starts_at)

    @property
    def is_active(self) -> bool:
        """Whether somebody is to care."""
        return self.status in ("firing", "acknowledged")

    def cloud_event_headers(self) -> list[tuple[str, bytes]]:
        """CloudEvents 1.0 attributes in Kafka's binary mode."""
        return [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_source", SOURCE.encode()),
            ("ce_type", (EVENT_TYPE_PREFIX + self.type).encode()),
            ("ce_subject", self.fingerprint.encode()),
            ("ce_time", self.updated_at.encode()),
            ("content-type", b"application/json"),
        ]


_SYSTEM: Final = ("alertname", "severity", "category")


def routing_labels(event: AlertEvent) -> dict[str, str]:
    """What matchers of routes, silences and inhibitions see: the alert's labels, with the rule's id as `alertname`, and
    `severity` and `category`. A label of one of these names is seen as `exported_...`, as in its fingerprint."""
    labels = dict(event.labels)
    for name in _SYSTEM:
        if name in labels:
            renamed = f"exported_{name}"
            while renamed in labels:
                renamed = f"exported_{renamed}"
            labels[renamed] = labels.pop(name)
    labels |= {"alertname": event.rule_id, "severity": event.severity}
    if event.category:
        labels["category"] = event.category
    return labels
