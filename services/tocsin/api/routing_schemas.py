"""What the OpenAPI document says about answers on routes, silences and the like, beyond what was written."""

from __future__ import annotations

from typing import Any, Final

from tocsin.api.escalation_schemas import escalation_steps

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_STORED: Final[dict[str, Any]] = {"revision": _COUNT, "updated_at": _TIME}


def routing_schemas() -> dict[str, Any]:
    """`RouteTest`, what is shown of silences and of the audit trail, and `Explanation`."""
    alert = dict.fromkeys(("fingerprint", "rule_id", "severity", "status"), _TEXT)
    alert |= {"labels": {"type": "object"}, "starts_at": _TIME}
    taken = dict.fromkeys(("route", "path", "group_key"), _TEXT)
    taken |= dict.fromkeys(("channels", "mute_time_intervals", "active_time_intervals"), _TEXTS)
    preview = dict.fromkeys(("active", "active_of", "last_day", "last_day_of"), _COUNT)
    window = {"type": "array", "items": _TIME, "minItems": 2, "maxItems": 2}
    preview |= {"alerts": _list(_object(alert)), "windows": _list(window), "too_broad": _TEXT}
    planned = {
        "begin": _TIME,
        "end": _TIME,
        "match": _TEXTS,
        **dict.fromkeys(("silence", "created_by", "comment"), _TEXT),
    }
    verdict = {"whole": {"type": "boolean"}, "entries": _COUNT, "fault": {"type": ["string", "null"]}}
    listed = {"items": _list(_object(planned)), "next_cursor": {"type": "null"}, "total": _COUNT}
    return {
        "SilenceCalendar": _object(listed),
        "AuditVerdict": _object(verdict),
        "RouteTest": _object({"routes": _list(_object(taken | {"group_labels": {"type": "object"}}))}),
        "SilencePreview": _object(preview),
        "Explanation": _object({"receivers": _list(_object(_receiver())), "escalation": escalation_steps()}),
    }


def _receiver() -> dict[str, Any]:
    """What one receiver was told, and was not; what an entry has beside this depends on its outcome."""
    entry = {**dict.fromkeys(("event_id", "decision", "outcome"), _TEXT), "at": _TIME}
    entry["event"] = {"type": ["object", "null"]}
    return {**dict.fromkeys(("channel", "channel_type", "last"), _TEXT), "entries": _list(_object(entry))}


def added_by_answers(reference: str) -> dict[str, dict[str, Any]]:
    """What answers have beside what was written, by schema; `reference` is how a schema names another."""
    errors = _list(_object({"field": _TEXT, "message": _TEXT}))
    quiet = _object({"why": {**_TEXT, "enum": ["inhibited", "outside hours", "silenced"]}, "by": _TEXTS})
    quiet["properties"] |= {"until": _TIME, "comment": _TEXT}
    found = {
        "AlertEvent": {"quiet": {**_list(quiet), "description": "of active alerts: what keeps them quiet now"}},
        **dict.fromkeys(("Channel", "Person", "Schedule", "EscalationPolicy"), _STORED),
        "Rule": {**_STORED, "warnings": errors},
        "Routing": {**_STORED, "warnings": errors},
        "Silence": {
            **_STORED,
            "state": {**_TEXT, "enum": ["active", "pending", "expired"]},
            "preview": {"$ref": reference.format(name="SilencePreview")},
        },
    }
    return {
        name: {field: {**schema, "readOnly": True} for field, schema in fields.items()}
        for name, fields in found.items()
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
