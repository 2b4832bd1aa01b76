"""What lifecycle keeps of one alert."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import AlertEvent

Condition = Literal["rest", "pending", "firing"]
Order = tuple[int, int, int]
_BEFORE_ALL: Order = (-1, 0, 0)


class AlertRecord(msgspec.Struct, omit_defaults=True):
    """One fingerprint. `event` is the alert after its last transition; None while there is no alert.

    `condition` is what the rule last said, which a person may have overruled. `episode_ms` and `transitions` (within
    the episode) make event ids. `order`, `command_offset` and `command_ids` (the last few) tell which inputs are in
    here already. `touched_ms` is the latest time among them.
    """

    fingerprint: str
    event: AlertEvent | None = None
    condition: Condition = "rest"
    episode_ms: int = -1
    transitions: int = 0
    sequence: int = 0
    touched_ms: int = 0
    order: Order = _BEFORE_ALL
    command_offset: int = -1
    command_ids: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """`pending`, `firing`, `acknowledged`, `resolved`, or empty when there is no alert."""
        return self.event.status if self.event else ""

    @property
    def is_active(self) -> bool:
        """Whether somebody is to care."""
        return self.status in ("firing", "acknowledged")


class DamagedRecord(ValueError):
    """A table entry that is not an AlertRecord."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AlertRecord)


def encode(record: AlertRecord) -> bytes:
    """A record as it lies in the table."""
    return _encoder.encode(record)


def decode(value: bytes) -> AlertRecord:
    """Read a record back; raises DamagedRecord."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"not an alert record: {error}") from None
