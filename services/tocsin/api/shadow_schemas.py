"""What the OpenAPI document says about answers on shadow mode."""

from __future__ import annotations

from typing import Any

_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}


def shadow_schemas(reference: str) -> dict[str, Any]:
    """`Shadow` and `ShadowReport`; `reference` is how a schema names another."""
    alerts = {"type": "array", "items": {"$ref": reference.format(name="ComparedAlert")}}
    head: dict[str, Any] = {
        "rule_id": {"type": "string"},
        "state": {"type": "string", "enum": ["running", "over"]},
        "since": _TIME,
        "until": _TIME,
        "revision": {"type": "integer"},
        "candidate": {"$ref": reference.format(name="Rule")},
    }
    pair = {"labels": {"type": "object"}, "current": alerts, "candidate": alerts}
    report = head | {
        "compared_until": _TIME,
        "current": _object({"revision": {"type": "integer"}, "changed": {"type": "boolean"}}, ["object", "null"]),
        "judged": _object({"samples": _COUNT, "series": _COUNT, "at": _or_null(_TIME)}),
        "notifications": _object({"added": _COUNT, "removed": _COUNT}),
        "totals": _object(dict.fromkeys(("both", "only_current", "only_candidate", "unseen"), _COUNT)),
        "both": {"type": "array", "items": _object(pair)},
        "only_current": alerts,
        "only_candidate": alerts,
    }
    return {"Shadow": _object(head), "ShadowReport": _object(report), "ComparedAlert": _object(_ALERT)}


def _object(properties: dict[str, Any], kind: str | list[str] = "object") -> dict[str, Any]:
    return {"type": kind, "properties": properties, "required": list(properties)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_ALERT: dict[str, Any] = {
    "fingerprint": {"type": "string"},
    "rule_id": {"type": "string"},
    "labels": {"type": "object"},
    "severity": {"type": "string"},
    "started_at": _TIME,
    "fired_at": _TIME,
    "ended_at": _or_null(_TIME),
    "value": {"type": ["number", "null"]},
    "unit": {"type": ["string", "null"]},
    "notifications": _COUNT,
}
