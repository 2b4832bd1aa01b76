"""Every topic of tocsin, once: its name, partitions, retention and compaction.

`Topics` knows full names; `topic_specs` is the declaration from which topics are created and verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

DEFAULT_PREFIX = "tocsin."
DEFAULT_PARTITIONS = 4

CHANNEL_TYPES = (
    *("email", "slack", "webhook", "console", "pagerduty", "teams", "opsgenie", "discord", "telegram", "ntfy"),
    *("kafka", "file", "apprise"),
)

# Changelogs of the agents' tables: `<table>-changelog`, co-partitioned with the topic that feeds the table.
CHANGELOGS = (
    "combine-checkpoint-changelog",
    "evaluate-checkpoint-changelog",
    "route-alerts-changelog",
    "route-notified-changelog",
)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_FOREVER_MS = -1

# A replay of `samples` judges each sample by the revision that was in force, so superseded rules outlive the frames.
_SAMPLES_RETENTION_MS = _DAY_MS
RULES_KEPT_MS = 2 * _DAY_MS

# What is known of an alert tells inputs that come again from new ones: it outlives those on every topic, whose last
# segment is kept as long again as the rest.
ALERTS_KEPT_MS = 30 * _DAY_MS

# A frame cannot be cut within one message, so it may be larger than what producers may send.
_LARGEST_FRAME = 8 * 1024 * 1024

# Agents cut what they write there into pieces of half a MiB, and a piece travels with others of its batch.
_LARGEST_CHANGE = 2 * 1024 * 1024

_CONFIGURATION = ("rules", "channels", "routes", "silences", "escalations", "settings")


class Cleanup(StrEnum):
    """What Kafka does with old records; the value is that of `cleanup.policy`."""

    DELETE = "delete"
    COMPACT = "compact"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be. `retention_ms` counts for `DELETE` only; -1 keeps records for ever.

    `owned` is False for topics that belong to others (metrics): they are created when missing, and never judged.
    """

    name: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int = _FOREVER_MS
    replication_factor: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    owned: bool = True

    def kafka_config(self) -> dict[str, str]:
        """The topic's settings under Kafka's own names."""
        settings = {"cleanup.policy": self.cleanup.value, **self.config}
        if self.cleanup is Cleanup.DELETE:
            settings["retention.ms"] = str(self.retention_ms)
        if self.replication_factor >= 3:
            # Acknowledged means on two machines, and one of three may be down.
            settings["min.insync.replicas"] = "2"
        return settings


class Topics:
    """The full names under one prefix."""

    __slots__ = (
        "alert_state",
        "alerts",
        "audit",
        "channels",
        "commands",
        "decisions",
        "deliveries",
        "dlq",
        "escalations",
        "feedback",
        "groups",
        "incidents",
        "late",
        "marks",
        "messages",
        "partials",
        "prefix",
        "routes",
        "rules",
        "samples",
        "settings",
        "shadow_alerts",
        "shadow_progress",
        "signals",
        "silences",
    )

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        self.prefix = prefix
        self.alerts = f"{prefix}alerts"
        self.alert_state = f"{prefix}alert-state"
        self.rules = f"{prefix}rules"
        self.channels = f"{prefix}channels"
        self.routes = f"{prefix}routes"
        self.silences = f"{prefix}silences"
        self.escalations = f"{prefix}escalations"
        self.settings = f"{prefix}settings"
        self.commands = f"{prefix}commands"
        self.signals = f"{prefix}signals"
        self.samples = f"{prefix}samples"
        self.partials = f"{prefix}partials"
        self.late = f"{prefix}late"
        self.marks = f"{prefix}marks"
        self.groups = f"{prefix}groups"
        self.incidents = f"{prefix}incidents"
        self.messages = f"{prefix}messages"
        self.decisions = f"{prefix}decisions"
        self.shadow_alerts = f"{prefix}shadow-alerts"
        self.shadow_progress = f"{prefix}shadow-progress"
        self.deliveries = f"{prefix}deliveries"
        self.feedback = f"{prefix}feedback"
        self.audit = f"{prefix}audit"
        self.dlq = f"{prefix}dlq"

    def notifications(self, channel_type: str) -> str:
        """What the delivery consumers of one channel type read."""
        return f"{self.prefix}notifications.{channel_type}"

    def changelog(self, name: str) -> str:
        """A changelog of `CHANGELOGS` under its full name."""
        return f"{self.prefix}{name}"

    @property
    def configuration(self) -> tuple[str, ...]:
        """The compacted topics of one partition that every worker reads whole."""
        return (self.rules, self.channels, self.routes, self.silences, self.escalations, self.settings)


def topic_specs(
    prefix: str = DEFAULT_PREFIX,
    partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int = 1,
    changelogs: tuple[str, ...] = CHANGELOGS,
    channel_types: tuple[str, ...] = CHANNEL_TYPES,
) -> tuple[TopicSpec, ...]:
    """Declares every topic. Raises ValueError for a count below 1.

    Topics keyed by fingerprint share one partition count: agents join them partition by partition. Configuration and
    the audit chain have a single partition, since each reader needs all of it, in order.
    """
    if partitions < 1 or replication_factor < 1:
        raise ValueError("a topic needs at least one partition and one replica")
    names = Topics(prefix)

    def kept(name: str, retention_ms: int, count: int = partitions, **config: str) -> TopicSpec:
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        return TopicSpec(name, count, Cleanup.DELETE, retention_ms, replication_factor, dotted)

    def compacted(name: str, count: int, config: Mapping[str, str]) -> TopicSpec:
        return TopicSpec(name, count, Cleanup.COMPACT, _FOREVER_MS, replication_factor, config)

    # Only closed segments are compacted: small ones keep a recovery from reading each key many times over.
    churning = {"segment.bytes": str(16 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.2"}
    changes = {**churning, "max.message.bytes": str(_LARGEST_CHANGE)}
    rules = {"min.compaction.lag.ms": str(RULES_KEPT_MS)}
    return (
        # Whole segments are deleted: without hourly ones a quiet topic keeps its records for a week.
        kept(names.samples, _SAMPLES_RETENTION_MS, segment_ms=str(_HOUR_MS), max_message_bytes=str(_LARGEST_FRAME)),
        kept(names.partials, _SAMPLES_RETENTION_MS, segment_ms=str(_HOUR_MS), max_message_bytes=str(_LARGEST_FRAME)),
        *(kept(name, 7 * _DAY_MS) for name in (names.late, names.signals, names.commands, names.alerts)),
        # Few keys, a few records a second, and read whole at each start.
        compacted(names.marks, 1, {**churning, "segment.bytes": str(1024 * 1024)}),
        compacted(names.alert_state, partitions, churning),
        # What a candidate in shadow said is read as long as its report may be asked for.
        kept(names.shadow_alerts, 30 * _DAY_MS),
        compacted(names.shadow_progress, partitions, churning),
        *(compacted(prefix + name, 1, rules if name == "rules" else {}) for name in _CONFIGURATION),
        *(kept(names.notifications(channel_type), 7 * _DAY_MS) for channel_type in channel_types),
        # An alert that joined a group is in that group's state, so these records only bridge a worker that is down.
        kept(names.groups, 7 * _DAY_MS),
        compacted(names.incidents, partitions, churning),
        kept(names.decisions, 30 * _DAY_MS),
        kept(names.deliveries, 30 * _DAY_MS),
        kept(names.feedback, 90 * _DAY_MS),
        compacted(names.messages, partitions, churning),
        kept(names.audit, _FOREVER_MS, 1),
        kept(names.dlq, 14 * _DAY_MS),
        *(compacted(names.changelog(name), partitions, changes) for name in changelogs),
    )


def metric_topic_specs(
    names: tuple[str, ...], partitions: int = DEFAULT_PARTITIONS, replication_factor: int = 1
) -> tuple[TopicSpec, ...]:
    """The users' metrics topics (full names, no prefix): to create where missing, never to judge."""
    return tuple(
        TopicSpec(name, partitions, Cleanup.DELETE, 7 * _DAY_MS, replication_factor, owned=False) for name in names
    )
