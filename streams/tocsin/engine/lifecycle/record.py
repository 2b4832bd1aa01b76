"""What lifecycle keeps of one alert."""

from typing import Literal

import msgspec

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import is_shadow

Condition = Literal["rest", "pending", "firing"]
Order = tuple[int, int, int]
_BEFORE_ALL: Order = (-1, 0, 0)


class Timers(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Points in time: when an acknowledgement ends (`care_ms`), when somebody is reminded of it (`remind_ms`), when an
    alert that was raised by hand ends (`end_ms`), when one that flaps is calm again (`calm_ms`); 0 for none."""

    care_ms: int = 0
    remind_ms: int = 0
    end_ms: int = 0
    calm_ms: int = 0

    @property
    def wake_ms(self) -> int:
        """When the next one is due; 0 for never."""
        return min(filter(None, (self.care_ms, self.remind_ms, self.end_ms, self.calm_ms)), default=0)


class AlertRecord(Timers, omit_defaults=True):
    """One fingerprint. `event` is the alert after its last transition; None while there is no alert.

    `condition` is what the rule last said, which a person may have overruled. `episode_ms` and `transitions` (within
    the episode) make event ids. `order`, `command_offset` and `command_ids` (the last few) tell which inputs are in
    here already. `touched_ms` is the latest time among them, or at which one was written. `flips` are the times of the
    last changes, of a rule that looks for flapping, and `peak` is the highest rank of a severity since it flaps.
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
    flips: tuple[int, ...] = ()
    peak: int = 0

    @property
    def status(self) -> str:
        """`pending`, `firing`, `acknowledged`, `resolved`, or empty when there is no alert."""
        return self.event.status if self.event else ""

    @property
    def is_active(self) -> bool:
        """Whether somebody is to care."""
        return self.status in ("firing", "acknowledged")

    @property
    def is_flapping(self) -> bool:
        """Whether it came and went so often that it counts as one."""
        return self.calm_ms > 0

    def is_over_since(self, at_ms: int) -> bool:
        """Whether it is at rest, waits for nothing, and heard of nothing since a time."""
        is_at_rest = self.condition == "rest" and self.status in ("", "resolved") and not self.wake_ms
        if not is_at_rest or self.touched_ms >= at_ms:
            return False
        return self.event is None or parse_instant(self.event.updated_at) < at_ms  # it may have ended by itself

    @property
    def is_spent(self) -> bool:
        """Whether nothing of it is needed any more: a candidate in shadow is at rest. A repeat of what it heard would
        say the same with the same ids, to a report that counts each once; of alerts, people hear, so they are kept."""
        return is_shadow(self.fingerprint) and self.condition == "rest" and not self.is_active


class DamagedRecord(ValueError):
    """A table entry that is not an AlertRecord."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AlertRecord)
_timers = msgspec.msgpack.Decoder(Timers)


def encode(record: AlertRecord) -> bytes:
    """A record as it lies in the table."""
    return _encoder.encode(record)


def decode(value: bytes) -> AlertRecord:
    """Read a record back; raises DamagedRecord."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"not an alert record: {error}") from None


def is_over(_: str, value: bytes, since_ms: int) -> bool:
    """Whether nothing of a stored record is needed any more, where it heard of nothing since a time."""
    try:
        return decode(value).is_over_since(since_ms)
    except DamagedRecord:
        return False


def wake_of(value: bytes) -> int:
    """When the next timer of a record is due, without reading the rest of it; raises DamagedRecord."""
    try:
        return _timers.decode(value).wake_ms
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"not an alert record: {error}") from None
