"""The OpenAPI 3.1 document, made from the routes and the models, and a page that shows it."""

from __future__ import annotations

import html
import re
import warnings
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import PydanticJsonSchemaWarning

from tocsin.api.escalation_schemas import escalation_schemas
from tocsin.api.routes import PREFIX, ROUTES, Route
from tocsin.api.routing_schemas import added_by_answers, routing_schemas
from tocsin.api.shadow_schemas import shadow_schemas
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.audit import AuditEntry
from tocsin.schemas.decision import Decision
from tocsin.schemas.feedback import Feedback
from tocsin.schemas.incident import Incident
from tocsin.schemas.notification import Delivery
from tocsin.schemas.silence import Silence

_REF = "#/components/schemas/{name}"
_LISTED = (
    "Alert", "Rule", "Shadow", "Channel", "Delivery", "Silence", "Incident", "AuditEntry", "Person", "Schedule",
    "EscalationPolicy", "OnCall", "Feedback", "DeadLetter",
)  # fmt: skip
_LISTS = {f"{name}List": name for name in _LISTED}
_RECORDS = (AlertEvent, Delivery, Decision, Incident, AuditEntry, Feedback)
_OPEN_OBJECTS = ("Statistics", "Configuration")
_TEXTS = {
    "limit": "entries a page, 1 to 500",
    "cursor": "`next_cursor` of the page before",
    "q": "a text in the rule, the labels or the annotations, in any case",
    "label.NAME": "the value of a label; NAME is the label's name",
    "from": "RFC 3339 or epoch milliseconds",
    "to": "RFC 3339 or epoch milliseconds",
    "bucket": "length of a bucket, such as 1h",
    "learns": "true: only of rules that learn what is ordinary; false: only of others",
    "quiet": "true: only of what something keeps quiet; false: only of the rest",
    "sort": "updated_at or -updated_at",
    "id": "the rule",
    "at": "RFC 3339 or epoch milliseconds; now unless given",
    "person": "only when this one is on call",
    "schedule": "ids, with commas",
    "state": "active, pending or expired",
}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tocsin", "version": _version(), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _version() -> str:
    try:
        return version("tocsin")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _operation(route: Route) -> dict[str, Any]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    asked = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        | ({"description": _TEXTS[name]} if name in _TEXTS else {})
        for name in route.query
    ]
    good: dict[str, Any] = {"description": "done"}
    if route.answers:
        is_media = "/" in route.answers
        schema = {"type": "string"} if is_media else {"$ref": _REF.format(name=route.answers)}
        good["content"] = {route.answers if is_media else "application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
    found: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{re.sub('[^a-z]+', '_', route.path)}",
        "tags": [route.tag],
        "parameters": [*named, *asked],
        "responses": {
            str(route.status): good,
            **{str(code): {"description": "refused", "content": problem} for code in sorted({400, 401, *route.errors})},
        },
    }
    if route.body is not None:
        merge = "application/merge-patch+json" if route.method == "PATCH" else "application/json"
        schema = {"$ref": _REF.format(name=route.body.__name__)}
        found["requestBody"] = {"content": {merge: {"schema": {"type": "object"} if "merge" in merge else schema}}}
    return found


def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = {}
    models: list[type[BaseModel]] = [Silence, *(route.body for route in ROUTES if route.body)]
    for model in dict.fromkeys(models):
        _add_model(found, model)
    _, components = msgspec.json.schema_components(_RECORDS, ref_template=_REF)
    found |= components
    found["Alert"] = {"$ref": _REF.format(name="AlertEvent")}
    for name, item in _LISTS.items():
        found[name] = _list_of(item)
    found |= {name: {"type": "object"} for name in _OPEN_OBJECTS}
    said = {"errors": _field_errors(), "warnings": _field_errors()}
    found["Validation"] = {"type": "object", "properties": {"valid": {"type": "boolean"}, **said}}
    found["Backtest"] = _backtest()
    found |= {"Baseline": _baseline(), "Preview": _preview(), "Suggestions": _suggestions()}
    found |= {"DeadLetter": _dead_letter(), "Redriven": _redriven(), "ChannelTest": _channel_test()}
    found |= shadow_schemas(_REF)
    found |= routing_schemas()
    found |= escalation_schemas()
    for name, fields in added_by_answers(_REF).items():
        found[name]["properties"] |= fields
    found["AlertDetail"] = {
        "type": "object",
        "properties": {
            "alert": {"$ref": _REF.format(name="Alert")},
            "timeline": {"type": "array", "items": {"$ref": _REF.format(name="Alert")}},
            "evidence": {"type": ["object", "null"]},
            "deliveries": {"type": "array", "items": {"$ref": _REF.format(name="Delivery")}},
            "feedback": {"type": "array", "items": {"$ref": _REF.format(name="Feedback")}},
            "decisions": {"type": "array", "items": {"$ref": _REF.format(name="Decision")}},
            "explanation": {"$ref": _REF.format(name="Explanation")},
        },
    }
    found["Problem"] = {
        "type": "object",
        "properties": {
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
            "detail": {"type": "string"}, "errors": _field_errors(),
        },
    }  # fmt: skip
    return dict(sorted(found.items()))


def _add_model(found: dict[str, Any], model: type[BaseModel]) -> None:
    with warnings.catch_warnings():
        # Durations are text outside and numbers inside, so their defaults are left out.
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        schema = model.model_json_schema(ref_template=_REF.replace("{name}", "{model}"))
    found |= schema.pop("$defs", {})
    found[model.__name__] = schema


def _backtest() -> dict[str, Any]:
    def entries(**properties: str) -> dict[str, Any]:
        shapes = {name: {"type": kind.split("|")} for name, kind in properties.items()}
        return {"type": "array", "items": {"type": "object", "properties": shapes}}

    totals = {name: {"type": "integer"} for name in ("samples", "series", "alerts", "late_samples", "dead_letters")}
    return {
        "type": "object",
        "properties": {
            "alerts": entries(
                rule_id="string", labels="object", severity="string", started_at="string", fired_at="string",
                resolved_at="string|null", duration="string", peak="number|null", unit="string|null",
            ),
            "rules": entries(
                rule_id="string", fired="integer", series="integer", pending_only="integer", late_samples="integer",
                refused_series="integer",
            ),
            "series": entries(rule_id="string", labels="object", points="array", learnt="array"),
            "dead_letters": {"type": "object"},
            "totals": {"type": "object", "properties": totals},
        },
    }  # fmt: skip


def _baseline() -> dict[str, Any]:
    figures = {name: {"type": "number"} for name in ("value", "expected", "lower", "upper", "score")}
    return {
        "type": "object",
        "properties": {
            "series": {"type": "string"}, "rule_id": {"type": "string"},
            "latest": {"type": "object", "properties": {"at": {"type": "string"}, **figures}},
            "points": {"type": "array", "items": {"type": "array", "items": {"type": "number"}},
                       "description": "epoch milliseconds, then the figures in the order of `latest`"},
        },
    }  # fmt: skip


def _suggestions() -> dict[str, Any]:
    counts = {name: {"type": "integer"} for name in ("alerts", "false_positives", "other_alerts")}
    marked = {name: {"type": "string"} for name in ("fingerprint", "starts_at", "by", "at", "comment")}
    candidate = {"type": "object", "properties": {"change": {"type": "object"}, **counts}}
    return {
        "type": "object",
        "properties": {
            "rule_id": {"type": "string"},
            "false_positives": {
                "type": "array", "items": {"type": "object", "properties": {"labels": {"type": "object"}, **marked}},
            },
            "now": {"type": ["object", "null"], "properties": counts},
            "candidates": {"type": "array", "items": candidate},
            "suggestion": {"type": ["object", "null"], "description": "a merge patch for the rule"},
            "detail": {"type": "string", "description": "why nothing is suggested"},
        },
    }  # fmt: skip


def _dead_letter() -> dict[str, Any]:
    texts = ("id", "reason", "detail", "topic", "stage", "channel_id", "key", "value")
    properties: dict[str, Any] = {
        **{name: {"type": "string"} for name in texts},
        "at_ms": {"type": "integer", "description": "epoch milliseconds"},
        "size": {"type": "integer", "description": "bytes of the whole value, of which `value` is the beginning"},
        **{name: {"type": ["integer", "null"]} for name in ("partition", "offset")},
        "redriven_at": {"type": ["string", "null"], "description": "when it was last put back"},
    }
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _channel_test() -> dict[str, Any]:
    told = {"$ref": _REF.format(name="Delivery")}
    closing = {**told, "description": "the end of the test, of a receiver that keeps incidents open"}
    return {"allOf": [told], "properties": {"closing": closing}}


def _redriven() -> dict[str, Any]:
    properties = {
        "redriven": {"type": "integer"},
        "ids": {"type": "array", "items": {"type": "string"}},
        "overtaken": {
            "type": "object", "additionalProperties": {"type": "string"},
            "description": "why others were not put back, by their ids",
        },
    }  # fmt: skip
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _preview() -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in ("channel", "type", "text_by")}
    objects = {name: {"type": "object"} for name in ("alert", "sent")}
    return {"type": "object", "properties": {**texts, **objects, "problems": _field_errors()}}


def _list_of(item: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": _REF.format(name=item)}},
            "next_cursor": {"type": ["string", "null"]},
            "total": {"type": "integer"},
        },
    }


def _field_errors() -> dict[str, Any]:
    properties = {"field": {"type": "string"}, "message": {"type": "string"}}
    return {"type": "array", "items": {"type": "object", "properties": properties}}


@cache
def docs_page() -> str:
    """The routes as a page without scripts."""
    rows = []
    for route in ROUTES:
        asked = ", ".join(f"<code>{html.escape(name)}</code>" for name in route.query)
        body = f"<code>{route.body.__name__}</code>" if route.body else ""
        rows.append(
            f"<tr><td><b>{route.method}</b></td><td><code>{html.escape(PREFIX + route.path)}</code></td>"
            f"<td>{html.escape(route.summary)}</td><td>{asked}</td><td>{body}</td></tr>"
        )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>tocsin: HTTP API</title><link rel=stylesheet href='/assets/style.css'><body><main>"
        "<h1>HTTP API</h1><p>Every request carries <code>Authorization: Bearer TOKEN</code>. The whole description, "
        "with schemas: <a href='/api/v1/openapi.json'>openapi.json</a>.</p><div class=wide><table><thead><tr><th>Method"
        "<th>Path<th>What it does<th>Query<th>Body</tr></thead><tbody>"
        + "".join(rows)
        + "</tbody></table></div></main>"
    )
