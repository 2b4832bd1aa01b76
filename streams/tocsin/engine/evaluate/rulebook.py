"""The rules topic as a book: which rules were in force at any offset."""

from bisect import bisect_left, bisect_right
from functools import lru_cache

from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import Plan, compile_plan, same_state
from tocsin.schemas.codec import UnreadableRecord, decode_document
from tocsin.schemas.rule import Rule


class RuleBook:
    """Entries of the rules topic in order. `end` is the offset after the last one read: what lies below is known."""

    def __init__(self) -> None:
        self.end = 0
        self._offsets: list[int] = []
        self._entries: list[tuple[str, Rule | None]] = []
        self._versions: dict[str, list[tuple[int, Rule]]] = {}

    def append(self, offset: int, key: bytes, value: bytes | None) -> str | None:
        """Read one record; returns why it was ignored, if it was: a rule that cannot be read changes nothing."""
        assert offset >= self.end, f"rules offset {offset} after {self.end}"
        self.end = offset + 1
        rule, rule_id = None, key.decode(errors="replace")
        if value:
            try:
                rule = _read(value, rule_id)
            except UnreadableRecord as error:
                return f"{rule_id}: {error}"
        self._offsets.append(offset)
        self._entries.append((rule_id, rule))
        if rule is not None:
            self._versions.setdefault(rule_id, []).append((offset, rule))
        return None

    def rule_at(self, rule_id: str, revision: int) -> Rule | None:
        """A rule as written at an offset; if that was compacted away, the nearest before it, else after."""
        versions = self._versions.get(rule_id)
        if not versions:
            return None
        return versions[max(0, bisect_right(versions, revision, key=lambda version: version[0]) - 1)][1]

    def rules_at(self, end: int) -> dict[str, tuple[Rule, int]]:
        """Rules in force below an offset, each with the offset at which it was written."""
        found: dict[str, tuple[Rule, int]] = {}
        for index in range(bisect_left(self._offsets, end)):
            rule_id, rule = self._entries[index]
            if rule is None:
                found.pop(rule_id, None)
            else:
                found[rule_id] = (rule, self._offsets[index])
        return found

    def plan_after(self, old: Plan, end: int) -> Plan:
        """The plan in force below an offset; a rule whose state goes on keeps its epoch."""
        versions = []
        for rule, revision in self.rules_at(end).values():
            before = old.versions.get(rule.id)
            goes_on = before is not None and before.rule.enabled and same_state(before.rule, rule)
            epoch = before.epoch if before is not None and goes_on else revision
            versions.append(RuleVersion(rule, revision, epoch))
        return compile_plan(versions, end)


@lru_cache(maxsize=4_096)
def _read(value: bytes, rule_id: str) -> Rule:
    """Rules are frozen, and the same documents are read again and again by whoever starts: once is enough."""
    return decode_document(Rule, value, rule_id)
