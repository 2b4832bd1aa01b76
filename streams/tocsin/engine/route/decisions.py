"""What was decided about an alert, as an entry of `decisions`."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.decision import Decision, Outcome
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Notification


class Subject(NamedTuple):
    """What a decision says of the event that it is about."""

    fingerprint: str
    rule_id: str
    id: str


def decision(
    event: AlertEvent | Subject,
    outcome: Outcome,
    at_ms: int,
    identity: Iterable[str | int],
    *,
    channels: tuple[str, ...] = (),
    until_ms: int = 0,
    sent: Iterable[Notification] = (),
    **facts: Any,
) -> Decision:
    """A decision about an event; its id is a function of `identity`. What was `sent` names the channels that were told,
    else they are those that would have been; `facts` are the rest of its fields."""
    told = list(sent)
    return Decision(
        id=stable_id("decision", *identity),
        at=format_instant(at_ms),
        fingerprint=event.fingerprint,
        rule_id=event.rule_id,
        event_id=event.id,
        outcome=outcome,
        channels=tuple(one.channel_id for one in told) or channels,
        notifications=tuple(one.id for one in told),
        until=format_instant(until_ms) if until_ms else None,
        **facts,
    )
