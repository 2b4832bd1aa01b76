"""The declaration of topics: complete, named once, and with the promises of the contract in it."""

from __future__ import annotations

import pytest

from tocsin.schemas.topics import CHANGELOGS, CHANNEL_TYPES, Cleanup, Topics, TopicSpec, metric_topic_specs, topic_specs

DAY_MS = 86_400_000


def by_name(*arguments: object, **options: object) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in topic_specs(*arguments, **options)}  # type: ignore[arg-type]


def test_every_name_of_topics_is_declared_once() -> None:
    names = Topics("x.")
    attributes = {getattr(names, slot) for slot in Topics.__slots__ if slot != "prefix"}
    queues = {names.notifications(channel_type) for channel_type in CHANNEL_TYPES}
    changelogs = {names.changelog(name) for name in CHANGELOGS}
    specs = topic_specs("x.")
    assert {spec.name for spec in specs} == attributes | queues | changelogs
    assert len({spec.name for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    ("topic", "days"),
    [
        ("alerts", 7),
        ("deliveries", 30),
        ("feedback", 90),
        ("dlq", 14),
        ("samples", 1),
        ("signals", 7),
        ("notifications.email", 7),
    ],
)
def test_records_are_kept_as_long_as_promised(topic: str, days: int) -> None:
    config = by_name()[f"tocsin.{topic}"].kafka_config()
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == str(days * DAY_MS)


def test_the_audit_trail_is_one_chain_that_never_expires() -> None:
    audit = by_name()["tocsin.audit"]
    assert audit.partitions == 1
    assert audit.kafka_config()["retention.ms"] == "-1"


def test_configuration_is_compacted_and_read_whole_from_one_partition() -> None:
    specs = by_name(partitions=8)
    for name in Topics().configuration:
        assert (specs[name].partitions, specs[name].cleanup) == (1, Cleanup.COMPACT)
        assert "retention.ms" not in specs[name].kafka_config()


def test_marks_are_read_whole_at_each_start_and_hence_compacted_soon() -> None:
    segments = {name: spec.kafka_config().get("segment.bytes") for name, spec in by_name().items()}
    assert (segments["tocsin.marks"], segments["tocsin.alert-state"]) == (str(2**20), str(16 * 2**20))


def test_superseded_rules_outlive_the_frames_they_judged() -> None:
    specs = by_name()
    lag_ms = int(specs["tocsin.rules"].kafka_config()["min.compaction.lag.ms"])
    assert lag_ms > int(specs["tocsin.samples"].kafka_config()["retention.ms"])


def test_changelogs_take_a_batch_of_the_pieces_that_agents_write() -> None:
    specs, names = by_name(), Topics()
    for name in CHANGELOGS:
        assert int(specs[names.changelog(name)].kafka_config()["max.message.bytes"]) >= 2 * 2**20


def test_what_is_keyed_by_fingerprint_is_co_partitioned_with_its_changelogs() -> None:
    specs, names = by_name(partitions=12), Topics()
    joined = [names.alerts, names.alert_state, names.signals, names.commands, names.samples]
    joined += [names.changelog(name) for name in CHANGELOGS]
    assert {specs[name].partitions for name in joined} == {12}


def test_with_three_replicas_an_acknowledged_record_is_on_two() -> None:
    assert by_name(replication_factor=3)["tocsin.alerts"].kafka_config()["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in by_name()["tocsin.alerts"].kafka_config()


def test_metrics_topics_have_no_prefix_and_are_not_ours() -> None:
    (spec,) = metric_topic_specs(("telegraf",), 3)
    assert (spec.name, spec.partitions, spec.owned) == ("telegraf", 3, False)


@pytest.mark.parametrize(("partitions", "replicas"), [(0, 1), (1, 0), (-1, 1)])
def test_counts_below_one_are_refused(partitions: int, replicas: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        topic_specs("x.", partitions, replicas)
