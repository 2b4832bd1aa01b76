"""Route's entries of one partition: alerts by fingerprint, groups and their alerts, numbers and progress.

What waits for a time is found in an index in memory, which is made of the table when a partition comes.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

from msgspec.structs import replace

from tocsin.engine.evaluate.copies import Get
from tocsin.engine.route import group_record
from tocsin.engine.route import record as route_record
from tocsin.engine.route.group_record import DamagedGroup, GroupRecord, Joined, Progress, Snapshot
from tocsin.engine.route.groups import EventPlace, GroupChanges
from tocsin.engine.route.members import Numbers
from tocsin.engine.route.record import DamagedRecord, RouteRecord
from tocsin.engine.route.step import Changes
from tocsin.engine.run_table import Report, RunTable
from tocsin.engine.wakes import Wakes
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent

# No fingerprint begins like these.
_GROUP: Final = "group/"
_SNAPSHOT: Final = "group-snapshot/"
_JOINED: Final = "group-member/"
_PROGRESS: Final = "group-progress"
_NUMBERS: Final = "group-numbers"
_OWN: Final = (_GROUP, _SNAPSHOT, _JOINED, _PROGRESS, _NUMBERS)
_NUMBERS_A_MS: Final = 1_000
_CHUNK: Final = 500
_MOST_KEPT: Final = 200_000  # alerts of groups that are kept in memory
_Found = TypeVar("_Found")
Entries = Mapping[str, bytes | None]


class Groups:
    """Groups as they were left, so that one of very many alerts is not read anew for each run."""

    def __init__(self) -> None:
        self._kept: dict[str, GroupRecord] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0

    def get(self, key: str) -> GroupRecord | None:
        """A group; whatever is done to it counts, unless all are dropped."""
        return self._kept.get(key)

    def keep(self, groups: Mapping[str, GroupRecord | None]) -> None:
        """Keep what a run left, in place of others where these are too many."""
        for key, record in groups.items():
            self._leave(key)
            if record is not None:
                self._kept[key], self._sizes[key] = record, 1 + len(record.members)
                self._size += self._sizes[key]
        while self._size > _MOST_KEPT and len(self._kept) > 1:
            self._leave(next(iter(self._kept)))

    def _leave(self, key: str) -> None:
        self._kept.pop(key, None)
        self._size -= self._sizes.pop(key, 0)

    def drop(self) -> None:
        """What a run did to them does not count: read them anew."""
        self._kept.clear()
        self._sizes.clear()
        self._size = 0


class Index:
    """What waits in one partition: groups for their next look, alerts for the end of what keeps them quiet, or for the
    next step of an escalation, and all of them for a watermark; and which alerts groups have.

    `version` is that of the routes by which all alerts here were asked for; `left` are those still to be asked for.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self.groups = Wakes()
        self._held = Wakes()
        self._steps = Wakes()
        self.groups_awaiting, self._held_awaiting, self._steps_awaiting = Wakes(), Wakes(), Wakes()
        self._asked: dict[str, None] = {}  # alerts that routes, or a rule's own channels, may send elsewhere
        self._members: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.kept = Groups()
        self.version = -1
        self.left: list[str] = []

    @classmethod
    def of(cls, table: RunTable, partition: int, report: Report) -> "Index":
        """The index of what the table holds; `report` hears of what is damaged."""
        made = cls(report)
        for key in table.keys(partition):
            is_named_only = key.startswith((_JOINED, _SNAPSHOT))
            made.put({key: b"" if is_named_only else table.get(partition, key)})
        return made

    def put(self, entries: Entries) -> None:
        """Entries are written."""
        for key, value in entries.items():
            if key.startswith(_GROUP):
                record = _decoded(lambda value: group_record.decode(GroupRecord, value), value, self._report)
                self.groups.put(key.removeprefix(_GROUP), record.next_ms if record else 0)
                self.groups_awaiting.put(key.removeprefix(_GROUP), record.awaits_ms if record else 0)
            elif key.startswith(_JOINED):
                self._put_member(key.removeprefix(_JOINED), is_there=value is not None)
            elif not key.startswith(_OWN):
                alert = _decoded(route_record.decode, value, self._report)
                if alert and alert.event:
                    self._asked[key] = None
                else:
                    self._asked.pop(key, None)
                self._held.put(key, alert.held_ms if alert and alert.event else 0)
                self._held_awaiting.put(key, alert.awaits_ms if alert and alert.event else 0)
                ladder = alert.escalation if alert else None
                self._steps.put(key, ladder.next_ms if ladder else 0)
                self._steps_awaiting.put(key, ladder.awaits_ms if ladder else 0)

    def _put_member(self, place: str, *, is_there: bool) -> None:
        fingerprint, _, group = place.partition("/")
        if is_there:
            self._members[group][fingerprint] = None
        elif group in self._members:
            self._members[group].pop(fingerprint, None)
            if not self._members[group]:
                del self._members[group]

    def members(self, group: str) -> Collection[str]:
        """Fingerprints of the alerts that a group has, as of what is written."""
        return self._members.get(group, ())

    def is_waiting(self, version: int) -> bool:
        """Whether it matters here what time it is."""
        return bool(self.groups or self._held or self._steps or self.left) or self.version != version

    def follow(self, version: int) -> None:
        """The routes are of this version: all alerts that they may send elsewhere are to be asked for again, if they
        were not before."""
        if self.version != version:
            self.version = version
            self.left = list(self._asked)

    def is_due(self, at_ms: int, watermark_ms: int) -> bool:
        """Whether anything is to be looked at by a time, or because a watermark has come."""
        is_due = bool(self.left) or any(wakes.is_due(at_ms) for wakes in (self.groups, self._held, self._steps))
        return is_due or self.has_reached(watermark_ms)

    def has_reached(self, watermark_ms: int) -> bool:
        """Whether a watermark is what something waits for."""
        awaiting = self.groups_awaiting, self._held_awaiting, self._steps_awaiting
        return any(wakes.is_due(watermark_ms) for wakes in awaiting)

    def waiting(self, at_ms: int, watermark_ms: int) -> list[str]:
        """Fingerprints to look at now: some of all after a change of routes, and those that waited long enough."""
        by_time = *self._held.due(at_ms), *self._steps.due(at_ms)
        by_watermark = *self._held_awaiting.due(watermark_ms), *self._steps_awaiting.due(watermark_ms)
        return list(dict.fromkeys([*self.left[:_CHUNK], *by_time, *by_watermark]))

    def looked(self) -> None:
        """They were looked at."""
        del self.left[:_CHUNK]


class RouteStore:
    """Entries of one partition, as `get` gives them, in the words of the steps; `report` hears of what is damaged.
    What waits for `watermark_ms` is due."""

    def __init__(self, get: Get, index: Index, report: Report, watermark_ms: int) -> None:
        self._get = get
        self._index = index
        self._report = report
        self._watermark_ms = watermark_ms

    def record(self, fingerprint: str) -> RouteRecord | None:
        """What is kept of an alert; a damaged one begins anew."""
        return _decoded(route_record.decode, self._get(fingerprint), self._report)

    def group(self, key: str) -> GroupRecord | None:
        """A group with its alerts: as its last look left them, or as they joined since then."""
        if kept := self._index.kept.get(key):
            return kept
        record = _decoded(lambda value: group_record.decode(GroupRecord, value), self._get(_GROUP + key), self._report)
        if record is None:
            return None
        value = self._get(_SNAPSHOT + key)
        seen = _decoded(lambda value: group_record.decode(Snapshot, value), value, self._report) or Snapshot()
        record.told, record.active = seen.told, 0
        for fingerprint in self._index.members(key):
            joined = self._joined((key, fingerprint))
            if joined is not None:  # what is damaged begins anew with its next event
                is_newer = joined.looks >= seen.looks
                record.admit(fingerprint, joined.member if is_newer else seen.members.get(fingerprint, joined.member))
        return record

    def event(self, place: EventPlace) -> AlertEvent | None:
        """The last event of an alert in a group."""
        joined = self._joined(place)
        return _decoded(lambda value: codec.decode(AlertEvent, value), joined.event, self._report) if joined else None

    def _joined(self, place: EventPlace) -> Joined | None:
        value = self._get(_joined_key(place))
        return _decoded(lambda value: group_record.decode(Joined, value), value, self._report)

    def due(self, at_ms: int) -> Collection[str]:
        """Keys of the groups that are to be looked at by a time, or because of what is known by now."""
        return [*self._index.groups.due(at_ms), *self._index.groups_awaiting.due(self._watermark_ms)]

    def progress(self) -> Progress:
        """How far the groups are."""
        found = _decoded(lambda value: group_record.decode(Progress, value), self._get(_PROGRESS), self._report)
        return found or Progress()

    def numbers(self, partition: int, at_ms: int) -> Numbers:
        """What joins from here are numbered with. Lost ones begin at a time, which lies beyond all before it."""
        stored = self._get(_NUMBERS)
        return Numbers(partition, int(stored) if stored else at_ms * _NUMBERS_A_MS)


def is_over(key: str, value: bytes, since_ms: int) -> bool:
    """Whether an entry is that of an alert of which nobody is to hear, and of which nothing was heard since a time."""
    if key.startswith(_OWN):
        return False
    try:
        return route_record.decode(value).is_over_since(since_ms)
    except DamagedRecord:
        return False


def entries_of_alerts(changes: Changes, numbers: Numbers) -> dict[str, bytes | None]:
    """What the first step changed."""
    found: dict[str, bytes | None] = {name: route_record.encode(one) for name, one in changes.records.items()}
    if changes.joins:
        found[_NUMBERS] = str(numbers.number).encode()
    return found


def entries_of_groups(changes: GroupChanges) -> dict[str, bytes | None]:
    """What the second step changed."""
    found: dict[str, bytes | None] = {}
    for key, record in changes.groups.items():
        found[_GROUP + key] = None if record is None else group_record.encode(replace(record, members={}, told={}))
        if record is None:
            found[_SNAPSHOT + key] = None
        elif key in changes.looked:
            found[_SNAPSHOT + key] = group_record.encode(Snapshot(record.looks, record.members, record.told))
    for place, event in changes.events.items():
        found[_joined_key(place)] = None if event is None else _joined_entry(changes, place, event)
    if found:
        found[_PROGRESS] = group_record.encode(changes.progress)
    return found


def _joined_entry(changes: GroupChanges, place: EventPlace, event: AlertEvent) -> bytes | None:
    key, fingerprint = place
    record = changes.groups[key]
    if record is None:
        return None
    return group_record.encode(Joined(record.looks, record.members[fingerprint], codec.encode(event)))


def _joined_key(place: EventPlace) -> str:
    key, fingerprint = place
    return f"{_JOINED}{fingerprint}/{key}"


def _decoded(decode: Callable[[bytes], _Found], value: bytes | None, report: Report) -> _Found | None:
    try:
        return decode(value) if value else None
    except (DamagedRecord, DamagedGroup, codec.UnreadableRecord) as error:
        report(f"an entry of route is damaged; it begins anew: {error}")
        return None


def records_of(keys: Iterable[str], store: RouteStore) -> list[RouteRecord]:
    """The records of alerts that there are."""
    return [record for record in map(store.record, keys) if record is not None]
