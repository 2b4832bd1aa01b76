"""Whatever the order within the lateness, the cuts, the partitions and the workers: the same events, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from tests.engine.cases import examples, without_places
from tests.engine.cases import rules as rules_of_series
from tests.engine.fleet import Crew, Fleet
from tests.engine.group_cases import BEGIN_MS, QUIET_MS, Way, message, samples, sent
from tests.engine.group_oracle import Sample
from tests.engine.test_groups import exact_rules
from tests.engine.test_groups_composite import MEMBERS

from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.schemas.rule import Rule

LATENESS_MS = 4_000
crews = st.builds(Crew, st.integers(1, 3), st.sampled_from([1, 3, 1_000]), st.integers(0, 2**32))
ways = st.builds(
    Way,
    sources=st.integers(1, 4),
    partitions=st.integers(1, 3),
    delay_ms=st.sampled_from([0, 900, LATENESS_MS]),
    is_keyed=st.booleans(),
    every=st.integers(1, 20),
    run=st.sampled_from([1, 3, 1_000]),
    seed=st.integers(0, 2**32),
)


@st.composite
def rulebooks(draw: st.DrawFn) -> list[Rule]:
    """A few rules on series, of any kind and window, a few on groups, and a composite over members of their own."""
    found = []
    for number, rule in enumerate(draw(st.lists(rules_of_series, min_size=1, max_size=3))):
        more = {"id": f"s{number}", "allowed_lateness": "4s"}
        if rule.window is not None and draw(st.booleans()):
            more["aggregation"] = draw(st.sampled_from(["p50", "p95"]))
        found.append(Rule.model_validate({**rule.document(), **more}))
    groups = [rule for rule in exact_rules() if not rule.id.startswith("a")]  # absence of groups: held to a model
    found += draw(st.lists(st.sampled_from(groups), max_size=4, unique_by=lambda rule: rule.id))
    if draw(st.booleans()):
        found += [Rule.model_validate({**rule.document(), "allowed_lateness": "4s"}) for rule in MEMBERS]
        body = {"id": "c", "condition": "composite", "conditions": ["m", "not n"], "group_by": ["service"]}
        body |= {"duration": draw(st.sampled_from(["0s", "2s"])), "allowed_lateness": "9s"}
        found.append(Rule.model_validate(body))
    return found


def published(pipeline: Pipeline, given_samples: Sequence[Sample], way: Way) -> None:
    pipeline.run(BEGIN_MS)  # rules are there before what they look at
    clock_ms = BEGIN_MS
    for index, (clock_ms, partition, sample) in enumerate(sent(given_samples, way)):
        key = str(sample.labels).encode() if way.is_keyed and way.delay_ms == 0 else None
        pipeline.publish(message(sample), clock_ms, key, partition)
        if index % way.every == way.every - 1:
            pipeline.run(clock_ms)
    for _ in range(2):
        pipeline.run(clock_ms)
        clock_ms += QUIET_MS
    pipeline.run(clock_ms)
    assert not pipeline.dead


@examples(25)
@given(rulebooks(), samples(("m", "m", "n"), 60), st.lists(st.tuples(ways, crews), min_size=4, max_size=4))
def test_neither_order_nor_cuts_nor_partitions_nor_workers_show(
    rulebook: list[Rule], given_samples: list[Sample], travels: list[tuple[Way, Crew]]
) -> None:
    one = Pipeline(rulebook)
    published(one, given_samples, Way())
    for way, crew in travels:
        many = Fleet(rulebook, Shape(sources=way.sources, samples=way.partitions, run=way.run), crew)
        published(many, given_samples, way)
        many.settle()
        assert without_places(many) == without_places(one)
