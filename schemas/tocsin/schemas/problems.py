"""Validation errors as one line each: the field, what is wrong, and how to mend it."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, get_args

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError

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
    """Every mistake in a pydantic error, in tocsin's words.

    With `model`, unknown fields get the nearest known name, and what was given for a secret is not repeated.
    """
    known = _known_fields(model) if model else ()
    return tuple(
        _field_error(item, known, is_secret=_is_secret(model, item["loc"])) for item in error.errors(include_url=False)
    )


def _field_error(item: Mapping[str, Any], known: Iterable[str], *, is_secret: bool) -> FieldError:
    where = ".".join(str(part) for part in item["loc"] if not str(part).startswith(("function-", "constrained-")))
    kind, context = item["type"], item.get("ctx", {})
    shown = "" if is_secret or kind == "missing" else f"{_shown(item['input'])} "
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        return FieldError(where, "is not a known field" + (f"; did you mean {near[0]!r}?" if near else "; remove it"))
    if kind in ("literal_error", "enum"):
        return FieldError(where, f"{shown}is not one of {context['expected']}")
    if kind == "string_pattern_mismatch":
        return FieldError(where, f"{shown}has characters that are not allowed ({context['pattern']})")
    if kind in ("value_error", "assertion_error"):
        return FieldError(where, str(context["error"]))
    text = _TEXTS.get(kind)
    if text is None and item["msg"].startswith("Input should be "):
        text = "must be " + item["msg"].removeprefix("Input should be ")
    if text is None:
        return FieldError(where, item["msg"][0].lower() + item["msg"][1:])
    return FieldError(where, shown + text)


def _is_secret(model: type[BaseModel] | None, location: tuple[str | int, ...]) -> bool:
    """Whether what stands there is, or holds, a credential: by its type, or because it stays out of text forms."""
    for part in location:
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            return False
        if not field.repr or _holds_secret(field.annotation):
            return True
        model = next(filter(_is_model, (field.annotation, *get_args(field.annotation))), None)
    return False


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_fields(model: type[BaseModel]) -> tuple[str, ...]:
    names = dict.fromkeys(model.model_fields)
    for field in model.model_fields.values():
        inner = field.annotation
        for candidate in (inner, *getattr(inner, "__args__", ())):
            if _is_model(candidate):
                names |= dict.fromkeys(candidate.model_fields)
    return tuple(names)
