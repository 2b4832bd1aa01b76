"""Users' templates (Jinja syntax) with a bound on work and size, and the HTML page of an email."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import css_inline
import minijinja

# A hostile template is stopped within about 10 ms; the longest honest one needs a hundredth of it.
_FUEL = 50_000
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
    "value": 1.0,
    "threshold": 1.0,
    "operator": ">",
    "unit": "",
    "starts_at": "",
    "ends_at": "",
    "reason": "",
    "link": "",
    "fingerprint": "",
}
NAMES = tuple(_SAMPLE)


class TemplateError(ValueError):
    """A template that cannot be rendered; the text says why in one line."""


def render_template(template: str, values: Mapping[str, Any]) -> str:
    """Render a user's template over plain values. Raises TemplateError."""
    environment = minijinja.Environment(fuel=_FUEL)
    try:
        text = environment.render_str(template, None, **values)
    except minijinja.TemplateError as error:
        raise TemplateError(f"the template cannot be used: {str(error).splitlines()[0]}") from None
    if len(text) > _MAX_OUTPUT:
        raise TemplateError(f"the template makes over {_MAX_OUTPUT} characters; shorten it")
    return text


def check_template(template: str) -> None:
    """Try a template on a sample alert, and refuse names that no alert has. Raises TemplateError."""
    if not template:
        return
    render_template(template, _SAMPLE)
    unknown = minijinja.Environment().undeclared_variables_in_str(template) - {*NAMES, "range", "dict", "namespace"}
    if unknown:
        raise TemplateError(f"the template knows no {min(unknown)!r}; use one of {', '.join(NAMES)}")


@cache
def _page() -> tuple[minijinja.Environment, css_inline.CSSInliner]:
    text = files("tocsin.deliver").joinpath("email.html").read_text("utf-8")
    environment = minijinja.Environment(templates={"email.html": text}, trim_blocks=True, lstrip_blocks=True)
    return environment, css_inline.CSSInliner(load_remote_stylesheets=False)


def render_email(values: Mapping[str, Any]) -> str:
    """The HTML part of an email: values escaped, styles written into the elements, nothing loaded from elsewhere."""
    environment, inliner = _page()
    return inliner.inline(environment.render_template("email.html", **values))
