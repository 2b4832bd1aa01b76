"""An alert event: one transition of one alert, as it stands on the `alerts` topic."""

from typing import Any, Final, Literal

import msgspec

from tocsin.schemas.instant import parse_instant

AlertType = Literal["pending", "firing", "changed", "acknowledged", "unacknowledged", "escalated", "resolved"]
AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]
EVENT_TYPE_PREFIX = "tocsin.alert."
SOURCE = "/tocsin"


class Acknowledgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who took care of an alert, when (RFC 3339), and what they said."""

    by: str
    at: str
    comment: str = ""


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
    the transitions of this fingerprint. `notifications` are the rule's channels at that time, `escalation_policy` is
    its policy, and `escalation` the last step of that which was taken. `reason` says why it happened: `condition`,
    `no data`, `manual`, `escalation`, `rule deleted`, `rule disabled` or `rule changed`. `changed` says that the alert
    reached another severity.
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
