"""The rules topic as a book: which of its records count, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import Plan, compile_plan
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import RULES_KEPT_MS

NOW_MS = 1_700_000_000_000
BODIES = [
    {"threshold": 1},
    {"threshold": 2},
    {"threshold": 2, "enabled": False},
    {"threshold": 1, "window": {"size": "10s"}},
    {"threshold": 1, "window": {"size": "10s"}, "aggregation": "max"},
    {"threshold": 1, "window": {"size": "10s"}, "group_by": ["host"]},
    {"condition": "ratio", "ratio": {"per": "m"}, "window": {"size": "10s"}, "threshold": 1},
    {"condition": "burn_rate", "burn_rate": {"total": "m"}},
    {"condition": "composite", "metric_type": "", "conditions": ["x", "not y"]},
]
IDS = ["a", "b", "c"]
edit = st.tuples(st.sampled_from(IDS), st.one_of(st.none(), st.sampled_from(BODIES)))


def document(rule_id: str, threshold: float) -> bytes:
    return encode_document(Rule(id=rule_id, metric_type="m", threshold=threshold))


def revisions(plan: Plan) -> dict[str, int]:
    return {rule_id: version.revision for rule_id, version in plan.versions.items()}


def plain(plan: Plan) -> list[object]:
    """A plan with what has no order in one."""
    looking = [
        {key: {of: sorted(version.rule.id for version in found) for of, (_, found) in judged.items()}}
        for table in (plan.rules, plan.group_rules)
        for key, judged in sorted(table.items())
    ]
    composites = {rule_id: sorted(spec.key for spec in specs) for rule_id, specs in plan.composites.items()}
    return [plan.offset, plan.specs, plan.groups, plan.versions, composites, looking]


def test_a_rule_under_another_key_is_ignored_with_the_reason() -> None:
    book = RuleBook()
    assert book.append(0, b"slow", document("slow", 1)) is None
    ignored = book.append(1, b"fast", document("slow", 1))
    assert ignored is not None
    assert ignored.startswith("fast: id: 'slow' is not the record's key")
    assert revisions(book.plan_after(Plan(), 2, 0)) == {"slow": 0}
    assert book.rule_at("fast", 2) is None


def test_what_cannot_be_read_is_named_until_something_can_be() -> None:
    book = RuleBook()
    book.append(0, b"slow", document("slow", 1))
    book.append(1, b"slow", b"not a rule")
    assert list(book.unreadable) == ["slow"]
    assert revisions(book.plan_after(Plan(), 2, 0)) == {"slow": 0}
    book.append(2, b"slow", document("slow", 2))
    assert not book.unreadable


def test_a_rule_whose_last_good_version_was_compacted_away_stays_as_it_was() -> None:
    before = RuleBook()
    before.append(0, b"slow", document("slow", 1))
    before.append(1, b"gone", document("gone", 1))
    plan = before.plan_after(Plan(), 2, 0)
    after = RuleBook()  # of a process that starts when both were compacted away
    after.append(7, b"slow", b"not a rule")
    assert revisions(after.plan_after(plan, 8, 0)) == {"slow": 0}
    assert revisions(after.plan_after(Plan(), 8, 0)) == {}


@given(st.lists(edit, max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_plans_that_follow_one_another_are_those_made_anew(
    edits: list[tuple[str, dict[str, object] | None]], ends: list[int]
) -> None:
    book = RuleBook()
    for offset, (rule_id, body) in enumerate(edits):
        value = body and encode_document(Rule.model_validate({"metric_type": "m", **body, "id": rule_id}))
        book.append(offset, rule_id.encode(), value or None)
    plan = Plan()
    for end in sorted(min(end, len(edits)) for end in ends):
        before, plan = plan, book.plan_after(plan, end, 0)
        assert revisions(plan) == {
            rule_id: max(at for at, (edited, _) in enumerate(edits[:end]) if edited == rule_id)
            for rule_id in IDS
            if any(edited == rule_id for edited, _ in edits[:end])
            and [body for edited, body in edits[:end] if edited == rule_id][-1] is not None
        }
        assert plain(plan) == plain(compile_plan(plan.versions.values(), end))
        for key, judged in plan.rules.items():
            versions = [version for _, found in judged.values() for version in found]
            is_touched = any(before.versions.get(version.rule.id) != version for version in versions)
            if key in before.rules and not is_touched and before.rules[key] == judged:
                assert before.rules[key] is judged, "nothing changed for this lane"


def test_an_edited_plan_is_gone_through_in_the_order_of_one_that_was_restored() -> None:
    """Else a restored one would number what it sends another way, and combine take one lane's shares for another's."""

    def rule(rule_id: str, metric: str, *members: str) -> RuleVersion:
        body = {"id": rule_id, "metric_type": metric, "window": {"size": "10s"}, "group_by": ["host"], "threshold": 1}
        if members:
            body = {"id": rule_id, "condition": "composite", "conditions": members}
        return RuleVersion(Rule.model_validate(body), 0, 0)

    rules = [rule("a", "m"), rule("b", "n"), rule("c", "", "a", "b"), rule("d", "", "b", "not a")]
    plan = compile_plan(rules, 4)
    for number, changed in enumerate([rule("a", "o"), rule("c", "", "b", "a"), rule("b", "k"), rule("d", "", "b")]):
        plan = plan.amended({changed.rule.id: changed}, 5 + number)
        restored = compile_plan(plan.versions.values(), plan.offset)
        assert [*plan.specs] == [*restored.specs]
        assert [*plan.groups] == [*restored.groups]
        for rule_id, specs in plan.composites.items():
            assert [spec.key for spec in specs] == [spec.key for spec in restored.composites[rule_id]]


def test_what_was_superseded_long_ago_is_forgotten() -> None:
    book, offset = RuleBook(), 0
    for day in range(10):
        for number in range(1_000):
            book.append(offset, b"slow", document("slow", number), NOW_MS + day * 86_400_000 + number)
            offset += 1
    book.append(offset, b"other", document("other", 1), NOW_MS)
    assert len(book) < 5 * 1_000
    kept = RULES_KEPT_MS // 86_400_000 * 1_000
    for revision in (offset - 1, offset - kept):
        rule = book.rule_at("slow", revision)
        assert rule is not None
        assert rule.threshold == revision % 1_000
    assert revisions(book.plan_after(Plan(), offset + 1, 0)) == {"slow": offset - 1, "other": offset}
