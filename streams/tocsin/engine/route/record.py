"""What route keeps of one alert."""

import msgspec


class RouteRecord(msgspec.Struct, omit_defaults=True):
    """One fingerprint: its last event, and who was told that it fires (channel id to type)."""

    fingerprint: str
    sequence: int = 0
    starts_at: str = ""
    updated_at: str = ""
    told: dict[str, str] = {}


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
