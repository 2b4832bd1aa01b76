"""What the OpenAPI document says about answers on who is on call."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_PERSON: Final[dict[str, Any]] = {"type": ["string", "null"]}


def escalation_schemas() -> dict[str, Any]:
    """`OnCall` and `SchedulePreview`."""
    now = {"person": _PERSON, "next": _PERSON, "contacts": _list(_TEXT)}
    now |= dict.fromkeys(("schedule", "name", "source"), _TEXT) | {
        "since": _TIME,
        "until": {**_TIME, "type": ["string", "null"]},
    }
    shift = _object({"person": _PERSON, "source": _TEXT, "starts_at": _TIME, "ends_at": _TIME})
    shifts = _list(shift)
    layer = _object({"name": _TEXT, "shifts": shifts})
    preview = {"schedule": _TEXT, "time_zone": _TEXT, "from": _TIME, "to": _TIME, "final": shifts}
    preview |= {
        "layers": {"type": "array", "items": layer},
        "overrides": {"type": "array", "items": {"type": "object"}},
    }
    return {"OnCall": _object(now), "SchedulePreview": _object(preview)}


def escalation_steps() -> dict[str, Any]:
    """How far the escalation of an alert has come; null without a policy."""
    step = _object({"at": _TIME, "policy": _TEXT, "step": {"type": "integer"}, "outcome": _TEXT})
    due = {"type": ["object", "null"], "properties": {"policy": _TEXT, "step": {"type": "integer"}, "at": _TIME}}
    properties = {"policy": _TEXT, "state": _TEXT, "due": due, "steps": _list(step)}
    return {**_object(properties), "type": ["object", "null"]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}
