"""Validation errors as one line each: the field, what is wrong, and how to mend it."""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError

Path = tuple[str | int, ...]
Problem = tuple[Path, str]
ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
LABEL_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$"

_TEXTS = {
    "missing": "is missing; add it",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "finite_number": "must be a finite number",
    "dict_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a mapping of names to values",
    "model_attributes_type": "must be a mapping of names to values",
    "string_too_short": "is empty; write something",
    "ip_v4_network": "must be a network such as 10.0.0.0/8",
    "ip_v6_network": "must be a network such as 10.0.0.0/8",
}
_PATTERNS: Final = {
    ID_PATTERN: "use up to 128 letters, digits and _ . : -, a letter or a digit first",
    LABEL_PATTERN: "use letters, digits and _ . -, a letter or _ first",
}
# What users of other tools write, where the field is known under another name.
_ELSEWHERE: Final = {
    "for": ("duration",),
    "alert": ("id",),
    "metric": ("metric_type",),
    "matchers": ("match",),
    "by": ("group_by",),
    "channels": ("notifications", "notify", "contacts"),
    "receiver": ("notifications", "channels", "notify"),
    "source_matchers": ("source",),
    "target_matchers": ("target",),
    "hysteresis": ("recovery_threshold",),
    "offset": ("against",),
    "comparison": ("operator",),
    "delay": ("wait",),
    "after": ("wait",),
    "targets": ("notify",),
    "user": ("person",),
    "users": ("people",),
    "on_call": ("schedule",),
    "timezone": ("time_zone",),
    "severity": ("min_severity",),
}
_TOO_SHORT: Final = "has too few entries; add some"
_QUOTED: Final = re.compile(r"'([^']*)'")


class FieldError(msgspec.Struct, frozen=True):
    """One mistake: where (`window.size`), and what to do about it."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Wrong(ValueError):
    """Raised by validators that know more exactly what is wrong than their own place: any number of paths and texts.

    Paths are relative to what is validated; with `beside`, to what that lies in.
    """

    def __init__(self, *problems: Problem, beside: bool = False) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in problems))
        self.problems = problems
        self.beside = beside


@dataclass(frozen=True, slots=True)
class Located:
    """A mistake and its path in what was validated; `of_name` where a name is wrong, not the value under it."""

    path: Path
    of_name: bool
    error: FieldError


def field_errors(error: ValidationError, model: type[BaseModel] | None = None) -> tuple[FieldError, ...]:
    """Every mistake in a pydantic error, in tocsin's words.

    With `model`, unknown fields get the nearest known name, and what was given for a secret is not repeated.
    """
    return tuple(located.error for located in located_errors(error, model))


def located_errors(error: ValidationError, model: type[BaseModel] | None = None) -> tuple[Located, ...]:
    """As `field_errors`, with paths."""
    found = [located for item in error.errors(include_url=False) for located in _located(item, model)]
    # A list whose entries are wrong counts as too short as well.
    inner = {located.path[:length] for located in found for length in range(len(located.path))}
    return tuple(located for located in found if located.path not in inner or located.error.message != _TOO_SHORT)


def _located(item: Mapping[str, Any], model: type[BaseModel] | None) -> Iterator[Located]:
    parts = item["loc"]
    path = tuple(part for part in parts if not str(part).startswith(("function-", "constrained-", "tagged-", "[key]")))
    of_name = "[key]" in parts or item["type"] == "extra_forbidden"
    reason = item.get("ctx", {}).get("error")
    if isinstance(reason, Wrong):
        base = path[:-1] if reason.beside else path
        for inner, text in reason.problems:
            yield Located((*base, *inner), of_name, FieldError(_dotted((*base, *inner)), text))
        return
    yield Located(path, of_name, FieldError(_dotted(path), _message(item, path, model)))


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _message(item: Mapping[str, Any], path: Path, model: type[BaseModel] | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    is_silent = kind in ("missing", "string_too_short") or _is_secret(model, path)
    shown = "" if is_silent else f"{_shown(item['input'])} "
    if kind == "extra_forbidden":
        return _unknown(path, model)
    if kind in ("literal_error", "enum"):
        expected = context["expected"]
        near = "" if is_silent else _near(item["input"], _QUOTED.findall(expected))
        return f"{shown}is not one of {expected}{near}"
    if kind == "string_pattern_mismatch":
        mend = _PATTERNS.get(context["pattern"], f"it must match {context['pattern']}")
        return f"{shown}has characters that are not allowed; {mend}" if item["input"] else f"is empty; {mend}"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters; shorten it"
    if kind == "too_short":
        return _TOO_SHORT
    if kind == "too_long":
        return f"has over {context['max_length']} entries; remove some"
    text = _TEXTS.get(kind)
    if text is None and item["msg"].startswith("Input should be "):
        text = "must be " + item["msg"].removeprefix("Input should be ")
    if text is None:
        return str(item["msg"][0].lower() + item["msg"][1:])
    return shown + text


def _is_secret(model: type[BaseModel] | None, path: Path) -> bool:
    """Whether what stands there is, or holds, a credential: by its type, or because it stays out of text forms."""
    for part in path:
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            return False
        if not field.repr or _holds_secret(field.annotation):
            return True
        model = _model_in(field.annotation)
    return False


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _near(value: object, known: list[str], cutoff: float = 0.6) -> str:
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def _unknown(path: Path, model: type[BaseModel] | None) -> str:
    """Says of an unknown field what was probably meant: a known one beside it, or one of the same name elsewhere."""
    name, said = str(path[-1]), "is not a known field"
    around = _model_at(model, path[:-1]) if model else None
    if around is None or model is None:
        return f"{said}; remove it"
    known = [field.alias or name for name, field in around.model_fields.items()]
    meant = next((other for other in _ELSEWHERE.get(name, ()) if other in known), None)
    if meant is not None:
        return f"{said}; did you mean {meant!r}?"
    if name in model.model_fields and around is not model:
        return f"{said} here; move it out to the {model.__name__.lower()}"
    sections = [section for section, field in model.model_fields.items() if name in _fields_in(field.annotation)]
    if sections and not _near(name, known, 0.8):
        return f"{said} here; it belongs under {' or '.join(map(repr, sections))}"
    return said + (_near(name, known) or "; remove it")


def _fields_in(annotation: Any) -> Collection[str]:
    inner = _model_in(annotation)
    return inner.model_fields if inner else ()


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of what lies at a path."""
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        field = found.model_fields.get(part) if found else None
        found = _model_in(field.annotation) if field else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in an annotation such as `tuple[Level, ...]` or `Window | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner)) is not None), None)
