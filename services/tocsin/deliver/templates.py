"""Users' templates (Jinja syntax) with a bound on work and size, and the HTML page of an email."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import css_inline
import minijinja

from tocsin.deliver.learnt_text import rarity
from tocsin.engine.template_syntax import rewritten
from tocsin.engine.template_values import offered
from tocsin.engine.templates import FAILURES, HELPERS, bounded_environment, explained
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.notification import Notification
from tocsin.schemas.rule import operator_symbol

_MAX_OUTPUT = 16_384

_SAMPLE: Mapping[str, Any] = {
    "title": "Response time",
    "status": "firing",
    "severity": "warning",
    "category": "performance",
    "rule_id": "response_time",
    "rule_name": "Response time",
    "description": "",
    "labels": {},
    "annotations": {},
    "value": 1.5,
    "threshold": 1.5,
    "operator": ">",
    "unit": "",
    "expected": {},
    "rarity": "",
    "starts_at": "",
    "ends_at": "",
    "reason": "",
    "link": "",
    "fingerprint": "",
    "alerts": [],
    "group_labels": {},
}
# No alert has all labels, and there is no message without an alert: both are tried.
_SAMPLES = tuple(
    {**_SAMPLE, "labels": labels, "alerts": [{**_SAMPLE, "labels": labels}]} for labels in ({}, {"host": "a1"})
)
_OF_MISSING = "; what may be missing needs an {% if %}, or something in its place: (labels.host or '')"
_environment = bounded_environment()
NAMES = tuple(_SAMPLE)
_MOST_ALERTS = 50


class TemplateError(ValueError):
    """A template that cannot be rendered; the text says why in one line."""


def render_template(template: str, values: Mapping[str, Any]) -> str:
    """Render a user's template over plain values. Raises TemplateError."""
    try:
        taken, given = rewritten(template), {name: offered(value) for name, value in values.items()}
        text = _environment.render_str(taken, None, **given)
    except FAILURES as error:
        said = explained(error)
        mend = _OF_MISSING if "undefined" in said else ""
        raise TemplateError(f"the template cannot be used: {said}{mend}") from None
    if len(text) > _MAX_OUTPUT:
        raise TemplateError(f"the template makes over {_MAX_OUTPUT} characters; shorten it")
    return text


def check_template(template: str) -> None:
    """Try a template on sample alerts, and refuse names that no alert has. Raises TemplateError."""
    if not template:
        return
    for sample in _SAMPLES:
        render_template(template, sample)
    unknown = _environment.undeclared_variables_in_str(rewritten(template)) - {*NAMES, *HELPERS}
    if unknown:
        raise TemplateError(f"the template knows no {min(unknown)!r}; use one of {', '.join(NAMES)}")


def template_values(notification: Notification, title: str, link: str) -> dict[str, Any]:
    """What a template can name: of the alert, of the worst in a group, and the first alerts of the group."""
    group = notification.group
    alerts = group.alerts[:_MOST_ALERTS] if group else (notification.event,)
    return {
        **_values(notification.event),
        "title": title,
        "link": link,
        "alerts": [_values(alert) for alert in alerts],
        "group_labels": dict(group.labels) if group else {},
    }


def _values(event: AlertEvent) -> dict[str, Any]:
    return {
        "status": event.status,
        "severity": event.severity,
        "category": event.category,
        "rule_id": event.rule_id,
        "rule_name": event.rule_name,
        "description": event.description,
        "labels": dict(event.labels),
        "annotations": dict(event.annotations),
        "value": event.value,
        "threshold": event.threshold,
        "operator": operator_symbol(event.operator or ""),
        "unit": event.unit or "",
        "expected": dict(event.expected or {}),
        "rarity": rarity(event),
        "starts_at": event.starts_at,
        "ends_at": event.ends_at or "",
        "reason": event.reason,
        "fingerprint": event.fingerprint,
    }


@cache
def _page() -> tuple[minijinja.Environment, css_inline.CSSInliner]:
    text = files("tocsin.deliver").joinpath("email.html").read_text("utf-8")
    environment = minijinja.Environment(templates={"email.html": text}, trim_blocks=True, lstrip_blocks=True)
    return environment, css_inline.CSSInliner(load_remote_stylesheets=False)


def render_email(values: Mapping[str, Any]) -> str:
    """The HTML part of an email: values escaped, styles written into the elements, nothing loaded from elsewhere."""
    environment, inliner = _page()
    return inliner.inline(environment.render_template("email.html", **values))
