"""That a name leads to no channel, as an entry of `deliveries`."""

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery


def unroutable(event: AlertEvent, name: str, why: str) -> Delivery:
    """Nobody was told of an event under a name; `why` says how to mend it."""
    notification_id = stable_id("notification", event.id, name)
    return Delivery(
        id=stable_id("delivery", notification_id, 0),
        notification_id=notification_id,
        channel_id=name,
        channel_type="",
        event_id=event.id,
        fingerprint=event.fingerprint,
        rule_id=event.rule_id,
        event_type=event.type,
        attempt=0,
        outcome="unroutable",
        at=event.updated_at,
        detail=why,
    )
