"""What lifecycle keeps of one alert."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.labels import is_shadow

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

    @property
    def is_spent(self) -> bool:
        """Whether nothing of it is needed any more: a candidate in shadow is at rest. A repeat of what it heard would
        say the same with the same ids, to a report that counts each once; of alerts, people hear, so they are kept."""
        return is_shadow(self.fingerprint) and self.condition == "rest" and not self.is_active


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
