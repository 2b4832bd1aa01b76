"""Validation errors as one line each: the field, what is wrong, and how to mend it."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

_TEXTS = {
    "missing": "is missing; add it",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "finite_number": "must be a finite number",
    "dict_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of names to values",
    "model_attributes_type": "must be a mapping of names to values",
    "ip_v4_network": "must be a network such as 10.0.0.0/8",
    "ip_v6_network": "must be a network such as 10.0.0.0/8",
}


class FieldError(msgspec.Struct, frozen=True):
    """One mistake: where (`window.size`), and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def field_errors(error: ValidationError, model: type[BaseModel] | None = None) -> tuple[FieldError, ...]:
    """Every mistake in a pydantic error, in tocsin's words; with `model`, unknown fields get the nearest known name."""
    known = _known_fields(model) if model else ()
    return tuple(_field_error(item, known) for item in error.errors(include_url=False))


def _field_error(item: Mapping[str, Any], known: Iterable[str]) -> FieldError:
    where = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-")))
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        return FieldError(where, "is not a known field" + (f"; did you mean {near[0]!r}?" if near else "; remove it"))
    if kind in ("literal_error", "enum"):
        return FieldError(where, f"{_shown(item['input'])} is not one of {context['expected']}")
    if kind == "string_pattern_mismatch":
        return FieldError(where, f"{_shown(item['input'])} has characters that are not allowed ({context['pattern']})")
    if kind in ("value_error", "assertion_error"):
        return FieldError(where, str(context["error"]))
    text = _TEXTS.get(kind)
    if text is None and item["msg"].startswith("Input should be "):
        text = "must be " + item["msg"].removeprefix("Input should be ")
    if text is None:
        return FieldError(where, item["msg"][0].lower() + item["msg"][1:])
    return FieldError(where, text if kind == "missing" else f"{_shown(item['input'])} {text}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_fields(model: type[BaseModel]) -> tuple[str, ...]:
    names = dict.fromkeys(model.model_fields)
    for field in model.model_fields.values():
        inner = field.annotation
        for candidate in (inner, *getattr(inner, "__args__", ())):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                names |= dict.fromkeys(candidate.model_fields)
    return tuple(names)
