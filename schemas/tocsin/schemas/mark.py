"""Marks: how far each partition of a stage is, as it says on `marks` under its name (`evaluate/3`).

Each is true for ever: an owner that stood still, or that begins again from an older checkpoint, says what was true.
"""

from typing import Annotated, Literal

import msgspec

from tocsin.schemas.instant import Integer

Stage = Literal["evaluate", "combine", "lifecycle"]
_Position = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Late(msgspec.Struct, frozen=True, array_like=True):
    """Alerts of rules that wait `ms` for late samples: what is known of their labels, None where it may be any."""

    ms: _Position
    alertname: str | None = None
    severity: str | None = None
    category: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """As matchers see them, as far as they are known."""
        named = {"alertname": self.alertname, "severity": self.severity, "category": self.category}
        return {name: value for name, value in named.items() if value is not None}


class Passed(msgspec.Struct, frozen=True, tag="passed", tag_field="kind", omit_defaults=True):
    """What samples up to the event time `watermark_ms` (epoch milliseconds) come to lies on `signals`, in each of its
    partitions before its offset in `ends`.

    Alerts that are `late` come so much later. With `shares`, groups are judged too, which combine speaks of.
    """

    watermark_ms: Integer
    ends: tuple[_Position, ...]
    late: tuple[Late, ...] = ()
    shares: bool = False


class WorkedOff(msgspec.Struct, frozen=True, tag="worked off", tag_field="kind"):
    """What the signals of a partition before this offset come to lies on `alert-state`."""

    position: _Position


Mark = Passed | WorkedOff


def mark_key(stage: Stage, partition: int) -> bytes:
    """The key of a partition's marks."""
    return f"{stage}/{partition}".encode()
