"""Alert events and notifications to test with: the rule of the seed form, fired and resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tocsin.engine.route.direct import notification
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Notification

STARTED_AT = "2026-11-23T10:00:00.000Z"
UPDATED_AT = "2026-11-23T10:05:00.000Z"
ENDED_AT = "2026-11-23T10:09:30.000Z"


def firing_event(number: int = 1, fingerprint: str = "9f2c000000000001", **changes: Any) -> AlertEvent:
    """A response time that has been too long for five minutes."""
    event = AlertEvent(
        id=stable_id("event", fingerprint, number),
        type="firing",
        fingerprint=fingerprint,
        sequence=number,
        rule_id="high_response_time",
        rule_name="High Response Time Alert",
        severity="warning",
        category="performance",
        status="firing",
        description="Alert when response time exceeds threshold",
        labels={"alertname": "high_response_time", "service": "api", "host": "a1"},
        value=1234.5,
        threshold=1000.0,
        operator="gt",
        unit="ms",
        starts_at=STARTED_AT,
        fired_at=UPDATED_AT,
        updated_at=UPDATED_AT,
        evidence={"metric": "response_time", "window": [STARTED_AT, UPDATED_AT], "samples": 30},
    )
    return msgspec.structs.replace(event, **changes)


def resolved_event(number: int = 2, fingerprint: str = "9f2c000000000001", **changes: Any) -> AlertEvent:
    """The end of the same alert."""
    ended: dict[str, Any] = {
        "type": "resolved",
        "status": "resolved",
        "value": 480.0,
        "ends_at": ENDED_AT,
        "updated_at": ENDED_AT,
    }
    return firing_event(number, fingerprint, **{**ended, **changes})


@dataclass(frozen=True, slots=True)
class Addressee:
    """A channel to make notifications for."""

    channel_id: str
    channel_type: str

    def notification(self, event: AlertEvent | None = None, *, test: bool = False) -> Notification:
        """The notification of an event, with the id that every repeat of it has."""
        channel = Channel(id=self.channel_id, type=self.channel_type)
        return notification(event or firing_event(), channel, test=test)
