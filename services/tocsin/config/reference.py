"""What settings there are, and what is in force: made from the model, so that it cannot be out of date."""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import SecretStr
from pydantic.json_schema import PydanticJsonSchemaWarning

from tocsin.config.loading import Loaded
from tocsin.config.variables import is_secret, leaves, variable_name
from tocsin.schemas.settings import Settings

_MASK = "********"
_HEAD = """\
# Settings

Written by `tocsin config reference`; do not edit. One YAML file (`--config FILE` or `TOCSIN_CONFIG`), overridden by
environment variables. `_` between the levels of a name may be written `__`. An empty variable counts as not set, and an
unknown `TOCSIN_*` is refused. A list in a variable is separated by commas. `${NAME}` and `${file:/run/secrets/name}`
work in every text; `$${` is a plain `${`. A JSON Schema for editors: [settings.schema.json](settings.schema.json).

`tocsin config show` prints what is in force and where each value came from.

| in the file | variable | default | |
|---|---|---|---|
"""


def rows(loaded: Loaded) -> list[dict[str, Any]]:
    """Each setting with its value, secrets masked, and its origin."""
    plain = loaded.settings.model_dump(mode="json")
    found = []
    for path in leaves():
        value = _at(plain, path)
        shown = _MASK if is_secret(path) and value is not None else value
        found.append({"setting": ".".join(path), "value": shown, "source": loaded.provenance[".".join(path)]})
    return found


def json_schema() -> dict[str, Any]:
    """The schema of the settings file."""
    with warnings.catch_warnings():
        # Durations are text outside and numbers inside, so their defaults are left out.
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Settings of tocsin"}


def markdown() -> str:
    """The reference page."""
    defaults = Settings().model_dump(mode="json")
    lines = []
    for path, field in leaves().items():
        default = _at(defaults, path)
        if isinstance(default, list):
            default = ", ".join(map(str, default))
        shown = "none" if default in (None, "") else f"`{default}`"
        text = (field.description or "").replace("|", "\\|")
        choices = _choices(field.annotation)
        text = "; ".join(filter(None, (text, choices)))
        lines.append(f"| `{'.'.join(path)}` | `{variable_name(path)}` | {shown} | {text} |\n")
    return _HEAD + "".join(lines)


def _choices(annotation: Any) -> str:
    from typing import Literal, get_args, get_origin

    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return "secret" if SecretStr in (annotation, *get_args(annotation)) else ""


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
