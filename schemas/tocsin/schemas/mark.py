"""Marks: how far each partition of a stage is, as it says on `marks` under its name (`evaluate/3`).

Each is true for ever: an owner that stood still, or that begins again from an older checkpoint, says what was true.
"""

from typing import Annotated, Final, Literal

import msgspec

from tocsin.schemas.instant import Integer

Stage = Literal["evaluate", "combine", "lifecycle"]
ANY_RULE: Final = ""
_Position = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Passed(msgspec.Struct, frozen=True, tag="passed", tag_field="kind", omit_defaults=True):
    """What samples up to the event time `watermark_ms` (epoch milliseconds) come to lies on `signals`, in each of its
    partitions before its offset in `ends`.

    Rules in `late_ms` wait so much longer for late samples, those under ANY_RULE whichever they are. With `shares`,
    groups are judged too, which combine speaks of.
    """

    watermark_ms: Integer
    ends: tuple[_Position, ...]
    late_ms: dict[str, _Position] = {}
    shares: bool = False


class WorkedOff(msgspec.Struct, frozen=True, tag="worked off", tag_field="kind"):
    """What the signals of a partition before this offset come to lies on `alert-state`."""

    position: _Position


Mark = Passed | WorkedOff


def mark_key(stage: Stage, partition: int) -> bytes:
    """The key of a partition's marks."""
    return f"{stage}/{partition}".encode()
