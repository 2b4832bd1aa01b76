"""What route keeps of a group, and of a partition of groups."""

from typing import Final, TypeVar

import msgspec


class Member(msgspec.Struct, array_like=True):
    """An alert of a group; its last event, whose id and rule it names, lies beside it. `said` is the last decision
    about it.

    `hold_ms` is until when it waits for what may inhibit it, at the longest.
    """

    rank: int
    active: bool
    acknowledged: bool
    fired_ms: int
    event_id: str
    rule_id: str
    hold_ms: int = 0
    said: str = ""


class Told(msgspec.Struct, omit_defaults=True):
    """What one channel knows: since when, and which alerts it was told of and not yet that they are over.

    `alerts` gives the severity that was said (its rank). `quiet` are those that were left out of what was said last:
    when nothing keeps them quiet any more, they are news. `again` are those that are to be said once more. `cared` says
    that the channel knows that somebody takes care of all of them, where it is told such things.
    """

    kind: str
    at_ms: int = 0
    alerts: dict[str, int] = {}
    quiet: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()
    cared: bool = False


class Involved(msgspec.Struct, array_like=True):
    """An alert of an incident; `ended_ms` is 0 while it is active."""

    rule_id: str
    severity: str
    joined_ms: int
    why: str
    ended_ms: int = 0


class Kept(msgspec.Struct, omit_defaults=True):
    """What is known of an incident beside its group: the labels of its `first` alert that count, the worst severity,
    and since when it is over (0 while it is not). `beyond` are alerts that are counted and not kept."""

    id: str
    first: dict[str, str]
    severity: str = ""
    joined: dict[str, Involved] = {}
    beyond: dict[str, bool] = {}
    count: int = 0
    over_ms: int = 0
    changed_ms: int = 0


class Snapshot(msgspec.Struct, omit_defaults=True):
    """The alerts of a group, and what channels know of it, as look number `looks` left them."""

    looks: int = 0
    members: dict[str, Member] = {}
    told: dict[str, Told] = {}


class Joined(msgspec.Struct, array_like=True):
    """An alert of a group as it joined, or changed, between that look and the next, and its event as JSON."""

    looks: int
    member: Member
    event: bytes


class GroupRecord(msgspec.Struct, omit_defaults=True):
    """One group. It is looked at when `due_ms` has come, then every interval; and once at `again_ms`, unless 0, or when
    the watermark has reached `awaits_ms`. That of a correlation rule is an `incident` too.

    `looks` counts these, `active` the members that are.
    """

    key: str
    route: str
    labels: dict[str, str]
    began_ms: int
    due_ms: int
    again_ms: int = 0
    awaits_ms: int = 0
    flushed: bool = False
    number: int = 0
    looks: int = 0
    active: int = 0
    members: dict[str, Member] = {}
    told: dict[str, Told] = {}
    missing: dict[str, str] = {}
    incident: Kept | None = None

    @property
    def told_as(self) -> str:
        """What receivers know it by: of an incident not the same as of the next one."""
        return f"incident/{self.incident.id}" if self.incident else self.key

    @property
    def next_ms(self) -> int:
        """When it is to be looked at next."""
        return min(self.due_ms, self.again_ms) if self.again_ms else self.due_ms

    def is_due(self, now_ms: int, watermark_ms: int) -> bool:
        """Whether it is to be looked at."""
        return self.next_ms <= now_ms or 0 < self.awaits_ms <= watermark_ms

    @property
    def is_over(self) -> bool:
        """Whether none of its alerts is active."""
        return not self.active

    def admit(self, fingerprint: str, member: Member) -> None:
        """An alert joins, or is another than it was."""
        self.drop(fingerprint)
        self.members[fingerprint] = member
        self.active += member.active

    def drop(self, fingerprint: str) -> None:
        """An alert is no longer in it."""
        member = self.members.pop(fingerprint, None)
        self.active -= bool(member and member.active)

    def heard_of(self, fingerprint: str) -> bool:
        """Whether any channel believes that an alert is active."""
        return any(fingerprint in told.alerts for told in self.told.values())

    def said_again(self, fingerprint: str) -> bool:
        """An alert is to be said once more to every channel that heard of it; whether there is one."""
        heard = [told for told in self.told.values() if fingerprint in told.alerts]
        for told in heard:
            told.again |= {fingerprint}
        return bool(heard)


class Progress(msgspec.Struct, omit_defaults=True):
    """Of a partition: the time it is, and the highest number of each source that was applied."""

    clock_ms: int = 0
    applied: dict[int, int] = {}


class DamagedGroup(ValueError):
    """A table entry that is not what it should be."""


_Kind = TypeVar("_Kind", GroupRecord, Progress, Snapshot, Joined)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(record: GroupRecord | Progress | Snapshot | Joined) -> bytes:
    """As it lies in the table."""
    return _encoder.encode(record)


def decode(kind: type[_Kind], value: bytes) -> _Kind:
    """Read it back; raises DamagedGroup."""
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedGroup(f"not a {kind.__name__}: {error}") from None
