"""One run of a partition of route: its inputs against what is stored and known, to entries and what is to be said."""

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.engine.evaluate.copies import Get
from tocsin.engine.route.flush import World
from tocsin.engine.route.groups import GroupChanges
from tocsin.engine.route.groups import step as group_step
from tocsin.engine.route.known import Known
from tocsin.engine.route.step import Changes, revisit, step
from tocsin.engine.route.store import Entries, Index, RouteStore, entries_of_alerts, entries_of_groups, records_of
from tocsin.engine.run_table import Report
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.grouping import GroupInput, Join
from tocsin.schemas.topics import CHANNEL_TYPES

Timed = tuple[int, AlertEvent]
TimedInput = tuple[int, GroupInput]


def tells(inputs: Sequence[Timed | TimedInput], index: Index, watermark_ms: int) -> bool:
    """Whether somebody may be told because of these, where marks have reached a watermark."""
    for at_ms, one in inputs:
        if isinstance(one, AlertEvent):
            if one.type in ("firing", "changed", "escalated") or one.escalation_policy:
                return True
        elif isinstance(one, Join) or index.is_due(at_ms, watermark_ms):
            return True
    return False


@dataclass(slots=True)
class Done:
    """What a run changed, as entries, and what each of its steps said."""

    entries: dict[str, bytes | None]
    changes: Sequence[Changes | GroupChanges]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of `alerts` and of `groups`; `report` hears of what is damaged."""

    number: int
    known: Known
    index: Index
    report: Report

    def _store(self, get: Get) -> RouteStore:
        return RouteStore(get, self.index, self.report, self.known.muting.reached_ms)

    def alerts(self, inputs: Sequence[Timed], get: Get) -> Done:
        """Apply events, each with the time at which it was written."""
        store = self._store(get)
        at_ms = max((at_ms for at_ms, _ in inputs), default=0)
        numbers, known = store.numbers(self.number, at_ms), self.known
        events = [event for _, event in inputs]
        changes = step(
            events, store.record, known.channels, CHANNEL_TYPES, known.muting, numbers, at_ms, known.directory
        )
        return Done(entries_of_alerts(changes, numbers), [changes])

    def next_ones(self, events: Sequence[AlertEvent], get: Get) -> list[AlertEvent]:
        """Those that follow at once on what is stored of their alerts."""
        store, last, found = self._store(get), dict[str, int](), list[AlertEvent]()
        for event in events:
            if event.fingerprint not in last:
                record = store.record(event.fingerprint)
                last[event.fingerprint] = record.sequence if record else 0
            if event.sequence == last[event.fingerprint] + 1:
                last[event.fingerprint] = event.sequence
                found.append(event)
        return found

    def groups(self, inputs: Sequence[TimedInput], get: Get) -> Done:
        """Apply inputs of groups, and look again at the alerts that wait."""
        known, store = self.known, self._store(get)
        done = group_step(inputs, store.progress(), store, World(known.channels, CHANNEL_TYPES, known.muting))
        at_ms = done.progress.clock_ms
        self.index.kept.keep({**dict.fromkeys(done.failed), **done.groups})
        for key, reason in done.failed.items():
            self.report(f"the group {key} cannot be looked at, and waits: {reason}")
        waiting = self.index.waiting(at_ms, known.muting.reached_ms)
        if not waiting:
            return Done(entries_of_groups(done), [done])
        try:
            changes, entries = self._looked_again(waiting, store, at_ms)
        except Exception:  # noqa: BLE001 - one at which it fails does so every time, and must not stop all others
            changes, entries = self._looked_again(self._sound(waiting, store, at_ms), store, at_ms)
        return Done({**entries_of_groups(done), **entries}, [done, changes])

    def _looked_again(self, names: Sequence[str], store: RouteStore, at_ms: int) -> tuple[Changes, Entries]:
        known, numbers, records = self.known, store.numbers(self.number, at_ms), records_of(names, store)
        changes = revisit(records, known.channels, CHANNEL_TYPES, known.muting, numbers, at_ms, known.directory)
        return changes, entries_of_alerts(changes, numbers)

    def _sound(self, names: Sequence[str], store: RouteStore, at_ms: int) -> list[str]:
        """The alerts that can be looked at again."""
        found = []
        for name in names:
            try:
                self._looked_again([name], store, at_ms)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is that of one alert
                self.report(f"the alert {name} cannot be looked at again, and waits: {type(error).__name__}: {error}")
            else:
                found.append(name)
        return found
