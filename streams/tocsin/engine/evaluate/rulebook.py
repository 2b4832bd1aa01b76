"""The rules topic as a book: which rules were in force at any offset that somebody may still ask for.

What was superseded longer ago than Kafka promises to keep it is forgotten here too: no frame that is left was judged by
it. Documents are kept as they were written, and read when they are wanted.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import Plan, is_over, same_state
from tocsin.schemas.codec import UnreadableRecord, decode_rule
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate
from tocsin.schemas.topics import RULES_KEPT_MS

_MANY: Final = 1_000  # entries: fewer are not worth a look


class _Entry(NamedTuple):
    """One version of a rule, None of one that was deleted."""

    offset: int
    at_ms: int
    value: bytes | None


class RuleBook:
    """Entries of the rules topic by rule. `end` is the offset after the last one read: what lies below is known.

    `unreadable` are rules whose last record is none, with the reason; what they were before stays in force.
    """

    def __init__(self) -> None:
        self.end = 0
        self.unreadable: dict[str, str] = {}
        self._entries: dict[str, list[_Entry]] = {}
        self._now_ms = 0
        self._count = 0
        self._sweep_at = _MANY

    def append(self, offset: int, key: bytes, value: bytes | None, at_ms: int = 0) -> str | None:
        """Read one record; returns why it was ignored, if it was: a rule that cannot be read changes nothing."""
        assert offset >= self.end, f"rules offset {offset} after {self.end}"
        self.end = offset + 1
        rule_id = key.decode(errors="replace")
        if value:
            try:
                _read(value, rule_id)
            except UnreadableRecord as error:
                self.unreadable[rule_id] = str(error)
                return f"{rule_id}: {error}"
        self.unreadable.pop(rule_id, None)
        self._now_ms = max(self._now_ms, at_ms)
        self._entries.setdefault(rule_id, []).append(_Entry(offset, self._now_ms, value or None))
        self._count += 1
        if self._count >= self._sweep_at:
            self._sweep()
        return None

    def _sweep(self) -> None:
        """Forget what was superseded long ago, and rules that were deleted then."""
        until_ms = self._now_ms - RULES_KEPT_MS
        for rule_id, entries in list(self._entries.items()):
            old = bisect_left(entries, until_ms, key=lambda entry: entry.at_ms)
            del entries[: max(old - 1, 0)]
            if entries[-1].value is None and entries[-1].at_ms < until_ms:
                del self._entries[rule_id]
        self._count = sum(map(len, self._entries.values()))
        self._sweep_at = max(2 * self._count, _MANY)

    def __len__(self) -> int:
        return self._count

    def rule_at(self, rule_id: str, revision: int) -> Rule | None:
        """A rule as written at an offset; if that was compacted away, the nearest before it, else after."""
        entries = self._entries.get(rule_id, [])
        after = bisect_left(entries, revision + 1, key=_offset_of)
        for at in chain(range(after - 1, -1, -1), range(after, len(entries))):
            entry = entries[at]
            if entry.value is not None:
                return _read(entry.value, rule_id)
        return None

    def _in_force(self, end: int) -> Iterator[tuple[str, _Entry]]:
        """What was last written of each rule below an offset."""
        for rule_id, entries in self._entries.items():
            at = len(entries) if entries[-1].offset < end else bisect_left(entries, end, key=_offset_of)
            if at:
                yield rule_id, entries[at - 1]

    def next_plan(self, old: Plan, end: int, clock_ms: int) -> Plan | None:
        """The plan that takes over, if another does: rules were written below an offset, or the time of a candidate in
        shadow is over."""
        if end > old.offset:
            assert self.end >= end, f"rules known to {self.end}, wanted to {end}"
            return self.plan_after(old, end, clock_ms)
        if clock_ms < old.changes_ms:
            return None
        return old.amended(
            {name: None for name, one in old.versions.items() if is_over(one.rule, clock_ms)}, old.offset
        )

    def plan_after(self, old: Plan, end: int, clock_ms: int) -> Plan:
        """The plan in force below an offset; a rule whose state goes on keeps its epoch.

        Whatever came in between was never in force. A rule of which no record is left that can be read stays as it was.
        """
        changed: dict[str, RuleVersion | None] = {
            rule_id: None
            for rule_id, version in old.versions.items()
            if is_over(version.rule, clock_ms) or (rule_id not in self._entries and rule_id not in self.unreadable)
        }
        for rule_id, entry in self._in_force(end):
            before = old.versions.get(rule_id)
            if before is not None and before.revision == entry.offset:
                continue
            rule = None if entry.value is None else _read(entry.value, rule_id)
            if rule is not None and not is_over(rule, clock_ms):
                changed[rule_id] = RuleVersion(rule, entry.offset, _epoch(before, rule, entry.offset))
            elif before is not None:
                changed[rule_id] = None
        return old.amended(changed, end)


def _offset_of(entry: _Entry) -> int:
    return entry.offset


def _epoch(before: RuleVersion | None, rule: Rule, revision: int) -> int:
    """Since when its state is kept. Two candidates have nothing in common: each is compared from its own beginning."""
    if isinstance(rule, Candidate):
        return rule.run_at(revision)
    goes_on = before is not None and before.rule.enabled and same_state(before.rule, rule)
    return before.epoch if before is not None and goes_on else revision


@lru_cache(maxsize=4_096)
def _read(value: bytes, rule_id: str) -> Rule:
    """Rules are frozen, and the same documents are read again and again by whoever starts: once is enough.

    Late samples are for others to read, so a candidate keeps none.
    """
    rule = decode_rule(value, rule_id)
    return rule.model_copy(update={"keep_late": False}) if isinstance(rule, Candidate) else rule
