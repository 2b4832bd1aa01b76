"""An incident: alerts that a correlation rule joined, and why; lies on `incidents`, keyed by its id."""

from typing import Literal

import msgspec


class IncidentAlert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert of an incident: since when it belongs to it, until when it was active, and why it does."""

    fingerprint: str
    rule_id: str
    severity: str
    joined_at: str
    ended_at: str | None = None
    why: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """All of it as it is now. Times are RFC 3339 in UTC; it is `resolved` while none of its alerts is active.

    `labels` are what its alerts have in common, `severity` is the worst there was. The first of its alerts stand in
    `alerts`, in the order in which they joined; of very many, `truncated` are left out. `count` is how many there are.
    """

    id: str
    correlation: str
    labels: dict[str, str]
    status: Literal["open", "resolved"]
    severity: str
    started_at: str
    updated_at: str
    ended_at: str | None = None
    count: int
    active: int
    alerts: tuple[IncidentAlert, ...]
    truncated: int = 0
