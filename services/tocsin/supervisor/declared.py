"""Every topic that these settings need."""

from __future__ import annotations

from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import TopicSpec, metric_topic_specs, topic_specs


def metric_topics(settings: Settings) -> tuple[str, ...]:
    """The names of the metrics topics."""
    return settings.metrics.topic_names


def declared_topics(settings: Settings) -> tuple[TopicSpec, ...]:
    """tocsin's own topics and the users' metrics topics."""
    kafka = settings.kafka
    return (
        *topic_specs(kafka.topic_prefix, kafka.partitions, kafka.replication_factor),
        *metric_topic_specs(metric_topics(settings), kafka.partitions, kafka.replication_factor),
    )
