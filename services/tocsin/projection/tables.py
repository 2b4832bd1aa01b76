"""The tables. Their rows are copies of records on Kafka; a change here needs a new VERSION, and nothing else."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

VERSION: Final = 8

metadata = MetaData()

meta = Table("tocsin_meta", metadata, Column("name", String(64), primary_key=True), Column("value", Text))

position = Table(
    "tocsin_position",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

UNREADABLE: Final = "unreadable-"

# The configuration: kind is `rules`, `shadows`, `channels`, `routes`, `silences`, `people`, `schedules`, `escalations`,
# or one of these after UNREADABLE: no record of that kind. `incidents` lie there too.
document = Table(
    "tocsin_document",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("id", String(160), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)


def _alert_columns(*, by_fingerprint: bool) -> list[Column[object]]:
    """What alerts are filtered by. `labels` is `\\x1fname=value\\x1f...`, `search` is lower case."""
    return [
        Column("fingerprint", String(32), primary_key=by_fingerprint),
        Column("status", String(16), nullable=False),
        Column("severity", String(16), nullable=False),
        Column("category", String(128), nullable=False),
        Column("rule_id", String(128), nullable=False),
        Column("labels", Text, nullable=False),
        Column("search", Text, nullable=False),
        Column("starts_ms", BigInteger, nullable=False),
        Column("drill", Boolean, nullable=False),
        Column("body", Text, nullable=False),
    ]


active = Table(
    "tocsin_active",
    metadata,
    *_alert_columns(by_fingerprint=True),
    Index("tocsin_active_order", "starts_ms", "fingerprint"),
)

event = Table(
    "tocsin_event",
    metadata,
    Column("id", String(64), primary_key=True),
    *_alert_columns(by_fingerprint=False),
    Column("type", String(16), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("fired_ms", BigInteger),
    Column("learns", Boolean, nullable=False),  # it says what was learnt to be ordinary
    Index("tocsin_event_order", "at_ms", "id"),
    Index("tocsin_event_fingerprint", "fingerprint", "starts_ms", "sequence"),
)

delivery = Table(
    "tocsin_delivery",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("notification_id", String(64), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("rule_id", String(128), nullable=False),
    Column("channel_id", String(128), nullable=False),
    Column("channel_type", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("test", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_delivery_order", "at_ms", "id"),
    Index("tocsin_delivery_fingerprint", "fingerprint"),
    Index("tocsin_delivery_notification", "notification_id"),
)

decision = Table(
    "tocsin_decision",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_decision_order", "at_ms", "id"),
    Index("tocsin_decision_fingerprint", "fingerprint", "at_ms"),
)

feedback = Table(
    "tocsin_feedback",
    metadata,
    Column("id", String(64), primary_key=True),  # fingerprint and beginning: the latest of an episode counts
    Column("fingerprint", String(32), nullable=False),
    Column("rule_id", String(128), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_feedback_order", "at_ms", "id"),
    Index("tocsin_feedback_fingerprint", "fingerprint"),
)

dead_letter = Table(
    "tocsin_dead_letter",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_dead_letter_order", "at_ms", "id"),
)

audit = Table(
    "tocsin_audit",
    metadata,
    Column("id", String(20), primary_key=True),  # the offset, so that it sorts
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(256), nullable=False),
    Column("action", String(128), nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_audit_order", "at_ms", "id"),
)

# What candidates in shadow would have said, and how much they have seen. `revision` is that of the candidate.
shadow_event = Table(
    "tocsin_shadow_event",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("rule_id", String(128), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("tocsin_shadow_event_order", "rule_id", "revision"),
)

shadow_progress = Table(
    "tocsin_shadow_progress",
    metadata,
    Column("id", String(192), primary_key=True),
    Column("rule_id", String(128), nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("series", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("tocsin_shadow_progress_rule", "rule_id"),
)
