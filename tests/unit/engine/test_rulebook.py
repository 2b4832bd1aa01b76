"""The rules topic as a book: which of its records count."""

from __future__ import annotations

from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.schemas.codec import encode_document
from tocsin.schemas.rule import Rule


def test_a_rule_under_another_key_is_ignored_with_the_reason() -> None:
    book = RuleBook()
    rule = encode_document(Rule(id="slow", metric_type="m", threshold=1))
    assert book.append(0, b"slow", rule) is None
    ignored = book.append(1, b"fast", rule)
    assert ignored is not None
    assert ignored.startswith("fast: id: 'slow' is not the record's key")
    assert {name: revision for name, (_, revision) in book.rules_at(2).items()} == {"slow": 0}
    assert book.rule_at("fast", 2) is None
