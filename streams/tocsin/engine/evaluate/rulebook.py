"""The rules topic as a book: which rules were in force at any offset."""

from bisect import bisect_left, bisect_right
from functools import lru_cache

from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import Plan, compile_plan, is_over, same_state
from tocsin.schemas.codec import UnreadableRecord, decode_rule
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate


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

    def next_plan(self, old: Plan, end: int, clock_ms: int) -> Plan | None:
        """The plan that takes over, if another does: rules were written below an offset, or the time of a candidate in
        shadow is over."""
        if end > old.offset:
            assert self.end >= end, f"rules known to {self.end}, wanted to {end}"
            return self.plan_after(old, end, clock_ms)
        if clock_ms < old.changes_ms:
            return None
        return compile_plan([one for one in old.versions.values() if not is_over(one.rule, clock_ms)], old.offset)

    def plan_after(self, old: Plan, end: int, clock_ms: int) -> Plan:
        """The plan in force below an offset; a rule whose state goes on keeps its epoch."""
        versions = []
        for rule, revision in self.rules_at(end).values():
            if not is_over(rule, clock_ms):
                versions.append(RuleVersion(rule, revision, _epoch(old.versions.get(rule.id), rule, revision)))
        return compile_plan(versions, end)


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
