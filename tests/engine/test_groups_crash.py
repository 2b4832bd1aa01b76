"""A crash at any record of `samples` or `partials`, while a checkpoint is written too: nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.cases import BEGIN_MS, message
from tests.engine.cases import Sample as OfSeries
from tests.engine.group_cases import Way, played, samples
from tests.engine.group_oracle import Sample
from tests.engine.test_groups import absence_rules, burn_rule, exact_rules, peer_rules
from tests.engine.test_groups_composite import MEMBERS

from tocsin.engine import frame, partial
from tocsin.engine.combine import checkpoint as of_combine
from tocsin.engine.combine.state import CombineState
from tocsin.engine.combine.step import step as combine
from tocsin.engine.evaluate import checkpoint as of_evaluate
from tocsin.engine.evaluate.checkpoint import HEADER
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.evaluate.step import step as evaluate
from tocsin.engine.frame import Frame, Tick
from tocsin.engine.partial import Partial
from tocsin.engine.pipeline import Pipeline
from tocsin.engine.watermark import Timing
from tocsin.schemas.codec import encode, encode_document
from tocsin.schemas.rule import Rule

bounded = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WAY = Way(sources=2, partitions=2, delay_ms=900, every=5, run=4)
crashes = st.tuples(st.sets(st.integers(0, 80), max_size=8), st.integers(0, 80), st.integers(0, 40))


def all_rules() -> list[Rule]:
    composite = {"id": "c", "condition": "composite", "conditions": ["m", "not g1"], "group_by": ["service"]}
    composite |= {"duration": "2s"}
    over = {"id": "cc", "condition": "composite", "conditions": ["c", "g4"], "combine": "any", "group_by": ["service"]}
    rules = [
        *exact_rules()[::3],
        *exact_rules()[1:5:3],
        burn_rule("b", True),
        *absence_rules(),
        *peer_rules(),
        *MEMBERS,
    ]
    rules = list({rule.id: rule for rule in rules}.values())
    return [*rules, Rule.model_validate(composite), Rule.model_validate(over)]


def book_of(rules: Sequence[Rule]) -> RuleBook:
    book = RuleBook()
    for offset, rule in enumerate(rules):
        book.append(offset, rule.id.encode(), encode_document(rule))
    return book


def with_crash(
    count: int,
    advance: Callable[[Any, int], list[bytes]],
    saved: tuple[Callable[[Any], tuple[dict[str, bytes], bytes]], Callable[[Callable[[str], bytes | None]], Any]],
    crash: tuple[set[int], int, int],
) -> list[bytes]:
    """What is said of `count` records, with a checkpoint after some of them, and one crash while one is written."""
    save, restore = saved
    after, at, written = crash
    table: dict[str, bytes] = {}
    state, said, offset, crashed = restore(table.get), [], 0, False
    while offset < count:
        said += advance(state, offset)
        if offset in after or (offset == at and not crashed):
            entries, header = save(state)
            writes = [*entries.items(), (HEADER, header)]
            if offset == at and not crashed:
                table.update(writes[:written])  # the rest was never written
                state, crashed = restore(table.get), True
                offset = state.offset + 1
                continue
            table.update(writes)
        offset += 1
    return said


def evaluated(
    book: RuleBook, items: Sequence[Frame | Tick], crash: tuple[set[int], int, int] | None = None
) -> list[bytes]:
    """What a samples partition sends."""

    def advance(state: PartitionState, offset: int) -> list[bytes]:
        return [partial.encode(one) for one in evaluate(state, [items[offset]], offset, book, Timing(), 2).partials]

    saved = of_evaluate.checkpoint, lambda get: of_evaluate.restore(get, "0")
    return with_crash(len(items), advance, saved, crash or (set(), -1, 0))


def combined(book: RuleBook, items: Sequence[Partial], crash: tuple[set[int], int, int] | None = None) -> list[bytes]:
    """What a partition of `partials` says: signals, and changes of members."""

    def advance(state: CombineState, offset: int) -> list[bytes]:
        done = combine(state, [items[offset]], offset, book, Timing())
        return [*map(encode, done.signals), *map(partial.encode, done.partials)]

    saved = of_combine.checkpoint, lambda get: of_combine.restore(get, 0)
    return with_crash(len(items), advance, saved, crash or (set(), -1, 0))


def frames_of(given_samples: Sequence[Sample]) -> list[Frame | Tick]:
    pipeline = played(all_rules(), given_samples, WAY)
    return [frame.decode(record.value or b"") for record in pipeline.log.read("samples", 0)]


def partials_of(given_samples: Sequence[Sample]) -> list[Partial]:
    pipeline = played(all_rules(), given_samples, WAY)
    return [partial.decode(record.value or b"") for record in pipeline.log.read("partials", 0)]


def numbered(sent: Sequence[bytes]) -> dict[tuple[str, int], bytes]:
    """Panes and progress by their number; of equal numbers all must be equal."""
    found: dict[tuple[str, int], bytes] = {}
    for value in sent:
        item = partial.decode(value)
        if not isinstance(item, partial.Change):
            assert found.setdefault((item.source, item.sequence), value) == value
    return found


@bounded
@given(samples(("m", "n", "o"), 30), crashes)
def test_a_crash_of_a_samples_partition_sends_the_same_again(
    given_samples: list[Sample], crash: tuple[set[int], int, int]
) -> None:
    items, book = frames_of(given_samples), book_of(all_rules())
    sent = evaluated(book, items, crash)
    assert numbered(sent) == numbered(evaluated(book, items))
    assert sorted(set(sent)) == sorted(set(evaluated(book, items)))


@bounded
@given(samples(("m", "n", "o"), 30), crashes)
def test_a_crash_of_combine_says_the_same_again(given_samples: list[Sample], crash: tuple[set[int], int, int]) -> None:
    items, book = partials_of(given_samples), book_of(all_rules())
    assert list(dict.fromkeys(combined(book, items, crash))) == combined(book, items)


@bounded
@given(samples(("m", "n", "o"), 30), st.integers(0, 80), st.integers(0, 30))
def test_what_is_sent_again_is_never_counted_twice(given_samples: list[Sample], crash: int, again: int) -> None:
    items, book = partials_of(given_samples), book_of(all_rules())
    source = "0"
    sent = [index for index, item in enumerate(items[:crash]) if item.source == source][-again:]
    repeated = [*items[:crash], *(items[index] for index in sent), *items[crash:]]
    assert combined(book, repeated) == combined(book, items)


@bounded
@given(samples(("m", "n", "o"), 30), st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_other_cuts_give_the_same_numbers(given_samples: list[Sample], cuts: list[int]) -> None:
    items, book = frames_of(given_samples), book_of(all_rules())
    state, sent, begin, turn = PartitionState(source="0"), [], 0, 0
    while begin < len(items):
        run = items[begin : begin + cuts[turn % len(cuts)]]
        begin, turn = begin + len(run), turn + 1
        done = evaluate(state, run, begin - 1, book, Timing(), 2)
        sent += [partial.encode(one) for one in done.partials]
    whole = evaluated(book, items)
    assert numbered(sent) == numbered(whole)
    assert sorted(sent) == sorted(whole)


def test_a_crash_after_an_edit_gives_each_share_the_number_that_it_had() -> None:
    body = {"metric_type": "m", "group_by": ["series"], "threshold": 1}
    rules = [
        Rule.model_validate({**body, "id": name, "window": {"size": size}})
        for name, size in (("a", "2s"), ("b", "5s"), ("c", "10s"))
    ]
    edited = Rule.model_validate({**body, "id": "a", "window": {"size": "4s"}})
    pipeline, book = Pipeline(rules), book_of([*rules, edited])
    for second in range(50):
        if second == 10:
            pipeline.put_rule(edited)
        at_ms = BEGIN_MS + second * 1_000
        pipeline.publish(message(at_ms, OfSeries(0, 0, 2.0)), at_ms, b"0")
        pipeline.run(at_ms)
    items = [frame.decode(record.value or b"") for record in pipeline.log.read("samples", 0)]
    whole = numbered(evaluated(book, items))
    for at in range(len(items) // 2, len(items), 5):
        assert numbered(evaluated(book, items, ({at - 4}, at, 0))) == whole
