"""What route keeps of one alert."""

import msgspec

from tocsin.engine.escalate.ladder import Ladder
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant


class Membership(msgspec.Struct, array_like=True, frozen=True):
    """A group that an alert is in, the route that put it there, and the labels of the group."""

    group_key: str
    route: str
    labels: dict[str, str]


class RouteRecord(msgspec.Struct, omit_defaults=True):
    """One fingerprint: its last event, and who was told that it fires (channel id to type).

    `event` is kept whole while it may have to be told later, or by another route. `held_ms` is the time until which it
    waits, 0 if it does not, unless the watermark `awaits_ms` comes before. `said` is the last decision about it.
    `escalation` is how far its policy has come; whom that told is among those who were told. `heard_ms` is when it was
    last heard of.
    """

    fingerprint: str
    sequence: int = 0
    starts_at: str = ""
    updated_at: str = ""
    told: dict[str, str] = {}
    event: AlertEvent | None = None
    groups: tuple[Membership, ...] = ()
    held_ms: int = 0
    awaits_ms: int = 0
    said: str = ""
    escalation: Ladder | None = None
    heard_ms: int = 0

    def is_over_since(self, at_ms: int) -> bool:
        """Whether nobody is to hear of it any more, and nothing was heard of it since a time."""
        is_waiting = self.event or self.groups or self.told or self.held_ms or self.escalation
        return not is_waiting and max(self.heard_ms, parse_instant(self.updated_at) if self.updated_at else 0) < at_ms


class DamagedRecord(ValueError):
    """A table entry that is not a RouteRecord."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RouteRecord)


def encode(record: RouteRecord) -> bytes:
    """A record as it lies in the table."""
    return _encoder.encode(record)


def decode(value: bytes) -> RouteRecord:
    """Read a record back; raises DamagedRecord."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"not a route record: {error}") from None
