"""What the reader of a message can do about it, as links that permit just that. Pure but for the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tocsin.deliver.message import Action
from tocsin.permits import PATH, Act, Permits, Subject, new_permit
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Notification
from tocsin.schemas.silence import matchers_for

# An address that names more alerts is longer than what some receivers take.
_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Actions:
    """`valid_ms` is how long a link may be used, from when the notification was made; 0 is not at all."""

    permits: Permits
    base_url: str
    valid_ms: int

    def of(self, notification: Notification) -> tuple[Action, ...]:
        """Acknowledge those that nobody takes care of; silence, where it is about one alert. The same for a repeat."""
        told = notification.group.alerts if notification.group else (notification.event,)
        active = [event for event in told if event.is_active]
        is_cut = bool(notification.group and notification.group.truncated) or len(active) > _MOST
        if not self.valid_ms or notification.test or not active or is_cut:
            return ()
        found = []
        if unanswered := [event for event in active if event.status == "firing"]:
            label = "Acknowledge" if len(unanswered) == 1 else f"Acknowledge all {len(unanswered)}"
            found.append(self._action("acknowledge", label, unanswered, notification))
        if len(active) == 1 and matchers_for(active[0]):
            found.append(self._action("silence", "Silence", active, notification))
        return tuple(found)

    def _action(self, act: Act, label: str, events: list[AlertEvent], notification: Notification) -> Action:
        subjects = tuple(Subject(event.fingerprint, parse_instant(event.starts_at), event.sequence) for event in events)
        until_ms = parse_instant(notification.created_at) + self.valid_ms
        token = self.permits.token(new_permit(act, subjects, until_ms, notification.channel_id))
        return Action(label, f"{self.base_url.rstrip('/')}{PATH}{token}")
