"""Playing a test: its series go through all steps of the engine, and what has come of them is looked at in between."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tocsin.engine.memory_log import partition_of
from tocsin.engine.pipeline import Pipeline, Shape
from tocsin.engine.route.known import Known
from tocsin.engine.route.tree import Tree
from tocsin.engine.testing.compare import Difference, Row, differences
from tocsin.engine.testing.notation import format_labels, parse_series, parse_values
from tocsin.engine.testing.scenario import Act, RuleTest
from tocsin.engine.testing.seen import Seen, seen
from tocsin.engine.watermark import Timing
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command
from tocsin.schemas.escalation import EscalationDocument, key_of
from tocsin.schemas.labels import series_key
from tocsin.schemas.references import named
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule
from tocsin.schemas.topics import CHANNEL_TYPES

BEGIN_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00Z, a Thursday: minutes, hours, days and UNIX weeks begin
_MOST_TICKS: Final = 20_000
_LEAST_TICK_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Message:
    key: bytes
    value: bytes


def outcome(
    test: RuleTest,
    rules: Iterable[Rule],
    channels: Iterable[Channel] | None,
    interval_ms: int,
    shape: Shape = Shape(),  # noqa: B008 - frozen
    routing: Routing | None = None,
    escalations: Collection[EscalationDocument] = (),
) -> tuple[Difference, ...]:
    """What differs from what a test expects; nothing if it passes.

    Without `channels`, each name in the rules' notifications, in the routes and in `escalations` (people, schedules and
    policies) is a channel. Of `shape`, only partitions count.
    """
    rules = list(rules)
    channels = named_channels(rules, routing, escalations) if channels is None else channels
    messages = _messages(test, test.interval or interval_ms)
    expected = sorted(enumerate(test.expect), key=lambda entry: entry[1].at)
    acts = sorted(enumerate(test.commands), key=lambda entry: entry[1].at)
    times = sorted({*messages, *(one.at for _, one in expected), *(one.at for _, one in acts)})
    known = _known(channels, routing, escalations, shape.samples) if routing or escalations else None
    pipeline = _pipeline(rules, channels, shape, times[-1], known)
    found: list[Difference] = []
    for at_ms in times:
        for message in messages.get(at_ms, ()):
            partition = partition_of(message.key, shape.sources)
            pipeline.publish(message.value, BEGIN_MS + at_ms, message.key, partition)
        pipeline.run(BEGIN_MS + at_ms)
        for place, act in acts:
            if act.at == at_ms:
                found += _act(pipeline, place, act)
        for place, expectation in expected:
            if expectation.at == at_ms:
                found += differences(place, expectation, _seen(pipeline))
    return tuple(found)


def named_channels(
    rules: Iterable[Rule], routing: Routing | None = None, escalations: Iterable[EscalationDocument] = ()
) -> list[Channel]:
    """A channel for each name that rules notify, and routes, people and policies, as if everything were set up."""
    names = dict.fromkeys(name for rule in rules for name in rule.notifications)
    if routing is not None:
        names |= dict.fromkeys(name for _, route in routing.route.walk() for name in route.channels or ())
        names |= dict.fromkeys(name for one in routing.correlations for name in one.channels)
    names |= dict.fromkeys(name for one in escalations for _, kind, name in named(one) if kind == "channels")
    return [Channel(id=name, type=name if name in CHANNEL_TYPES else "webhook") for name in names]


def _known(
    channels: Iterable[Channel], routing: Routing | None, escalations: Iterable[EscalationDocument], partitions: int
) -> Known:
    known = Known(lambda *_: None, partitions)
    known.channels = {channel.id: channel for channel in channels}
    known.muting.put_tree(Tree(routing) if routing else None)
    for one in escalations:
        known.directory.put(key_of(one), one)
    return known


def _pipeline(
    rules: Iterable[Rule], channels: Iterable[Channel], shape: Shape, length_ms: int, known: Known | None
) -> Pipeline:
    # Silence is measured in ticks, so the stride of one is all of it.
    tick_ms = max(_LEAST_TICK_MS, -(-length_ms // _MOST_TICKS))
    pipeline = Pipeline(rules, channels, replace(shape, tick_ms=tick_ms), Timing(stride_ms=tick_ms), known=known)
    pipeline.run(BEGIN_MS)
    return pipeline


def _messages(test: RuleTest, interval_ms: int) -> Mapping[int, list[_Message]]:
    """Samples by the time at which they are published."""
    found: defaultdict[int, list[_Message]] = defaultdict(list)
    for given in test.input:
        name, labels = parse_series(given.series)
        key = series_key(name, labels)
        body: dict[str, object] = {"name": name, "labels": labels, "unit": given.unit or None}
        for number, value in enumerate(parse_values(given.values)):
            if value is not None:
                at_ms = number * (given.interval or interval_ms)
                sample = body | {"value": value, "timestamp": BEGIN_MS + at_ms}
                found[at_ms + given.delay].append(_Message(key, json.dumps(sample).encode()))
    return found


def _act(pipeline: Pipeline, place: int, act: Act) -> Iterator[Difference]:
    """A person acts on every alert that is meant; that there is none is a difference."""
    events = [record.event for record in pipeline.alerts.values() if record.event and record.is_active]
    meant = [event for event in events if event.rule_id == act.rule and act.labels.items() <= event.labels.items()]
    if not meant:
        subject = f"{act.do} {act.rule}{format_labels(act.labels)}"
        others = ", ".join(event.rule_id + format_labels(event.labels) for event in events)
        yield Difference(("commands", place), act.at, subject, (Row("alert", "firing", others or "none"),))
    for event in meant:
        command_id = f"{place}-{event.fingerprint}"
        pipeline.command(
            Command(
                command_id,
                act.do,
                event.fingerprint,
                act.by,
                BEGIN_MS + act.at,
                comment=act.comment,
                until_ms=None if act.until is None else BEGIN_MS + act.until,
                remind_every_ms=int(act.remind_every),  # of the plain kind, as it comes from a topic
            )
        )


def _seen(pipeline: Pipeline) -> Seen:
    events = [record.event for record in pipeline.alerts.values() if record.event]
    return seen(events, pipeline.notifications, BEGIN_MS)
