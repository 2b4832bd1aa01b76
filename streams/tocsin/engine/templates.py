"""Templates of users in Jinja syntax, for labels and annotations of rules.

Held to a short list of what they may be made of (`template_syntax.py`), then rendered by minijinja with a bound on work
(fuel) and on output, since a template is input like any other: Jinja2's sandbox stops neither loops nor allocations,
and fuel does not count lists within lists. Only texts, numbers, lists and mappings go in.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import minijinja

from tocsin.engine.template_nodes import Refused, has_tags
from tocsin.engine.template_syntax import rewritten
from tocsin.engine.template_values import PYTHONS, offered, plain
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule

_FUEL: Final = 50_000
_MAX_OUTPUT: Final = 8_192
MAX_TEXTS_BYTES: Final = 64 * 1024  # all texts of one event: with the rest it stays far below what a broker takes
FAILED: Final = "<template: "  # how the text of one that fails begins
_ELLIPSIS: Final = "…"
_NAMES: Final = frozenset(
    {"labels", "value", "threshold", "operator", "rule_id", "rule_name", "severity", "category", "metric", "unit"}
    | {"expected", "starts_at"}
)
HELPERS: Final = frozenset({"range", "loop"})
# Prometheus writes `{{ $labels.x }}` and `{{ .Labels.x }}`; the Jinja form of the same is meant.
_TAG: Final = re.compile(r"\{\{[^{}]*")
_PLACE: Final = re.compile(r" \(in <string>:\d+\)$")
_DOLLAR: Final = re.compile(r"(?:\$|(?<![\w\])])\.)(labels|value)\b", re.IGNORECASE)


# What rendering may raise: filters are Python, and templates may call methods of Python's mappings.
FAILURES: Final = (
    minijinja.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip


def check(source: str) -> str | None:
    """What is wrong with a template, in one line with its mend; None when it renders."""
    try:
        text = rewritten(_jinja(source))
        unknown = _environment.undeclared_variables_in_str(text) - _NAMES - HELPERS
        if not unknown:
            _environment.render_str(text, **_SAMPLE)
    except FAILURES as error:
        return None if getattr(error, "kind", "") in _DEPENDS_ON_VALUES else explained(error)
    return f"{min(unknown)!r} is not known in a template; there are {', '.join(sorted(_NAMES))}" if unknown else None


def template_problems(rule: Rule) -> list[FieldError]:
    """Every label and annotation of a rule that is no template."""
    return [
        FieldError(f"{field}.{name}", problem)
        for field in ("labels", "annotations")
        for name, source in getattr(rule, field).items()
        if (problem := check(source))
    ]


def render(source: str, values: Mapping[str, Any]) -> str:
    """Render a template; one that fails gives a text that says why, never an exception. At most 8,192 characters."""
    if not has_tags(source):
        return source
    try:
        text = rewritten(_jinja(source))
        rendered: str = _environment.render_str(text, **{name: offered(value) for name, value in values.items()})
    except FAILURES as error:
        return f"{FAILED}{explained(error)}>"
    return rendered[:_MAX_OUTPUT]


def fitted(texts: Sequence[str]) -> list[str]:
    """Texts that together have at most `MAX_TEXTS_BYTES` in UTF-8: the longest are cut, all to the same size.

    A cut text ends with an ellipsis. Which are cut depends on their sizes alone, so short ones stay as they are.
    """
    sizes = [len(text.encode()) for text in texts]
    if sum(sizes) <= MAX_TEXTS_BYTES:
        return list(texts)
    left, share = MAX_TEXTS_BYTES, 0
    for already, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - already)
        if size > share:
            break
        left -= size
    return [text if size <= share else _cut(text, share) for text, size in zip(texts, sizes, strict=True)]


def _cut(text: str, size_bytes: int) -> str:
    room = size_bytes - len(_ELLIPSIS.encode())
    return text.encode()[:room].decode(errors="ignore") + _ELLIPSIS if room >= 0 else ""


def _jinja(source: str) -> str:
    return _TAG.sub(lambda tag: _DOLLAR.sub(lambda found: found[1].lower(), tag[0]), source)


def explained(error: Exception) -> str:
    """What is wrong, with its line."""
    if isinstance(error, Refused):
        return str(error)
    if not isinstance(error, minijinja.TemplateError):
        return f"it cannot be worked out: {error}"
    text = "it takes too much work" if error.kind == "OutOfFuel" else _PLACE.sub("", error.detail or error.message)
    return f"line {error.line}: {text}" if error.line else text


def _of_numbers(name: str, formatted: Callable[[float], str]) -> Callable[..., Any]:
    """A filter for numbers, and texts of them. What is none stays as it is: it may be a label, or not be there."""

    def applied(value: Any, *more: Any, **named: Any) -> Any:
        if more or named:
            raise TypeError(f"{name} takes no arguments; write {{{{ value | {name} }}}}")
        if plain(value) is None:
            return value
        try:
            number = float(value)
        except ValueError:
            return value
        return formatted(number) if math.isfinite(number) else f"{number:g}"

    return applied


def _humanize(value: float) -> str:
    """1234567 as `1.235M`, as Prometheus does."""
    for factor, sign in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{sign}"
    for factor, sign in ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")):
        if abs(value) >= factor or not value:
            return f"{value / factor:.4g}{sign}"
    return f"{value:.4g}"


def _humanize_percentage(value: float) -> str:
    """0.1234 as `12.34%`."""
    return f"{value * 100:.4g}%"


def _humanize_duration(seconds: float) -> str:
    """5400 seconds as `1h 30m 0s`."""
    if abs(seconds) < 60:
        return f"{seconds:.4g}s"
    sign, rest = ("-" if seconds < 0 else ""), int(abs(seconds))
    sizes = {"d": rest // 86_400, "h": rest // 3_600 % 24, "m": rest // 60 % 60, "s": rest % 60}
    first = next(index for index, size in enumerate(sizes.values()) if size)
    return sign + " ".join(f"{size}{unit}" for unit, size in list(sizes.items())[first:])


def _shown(value: object) -> object:
    """1500.0 as people write it: `1500`; what is not there as nothing."""
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else value


_HUMANE: Final[dict[str, Callable[[float], str]]] = {
    "humanize": _humanize,
    "humanizePercentage": _humanize_percentage,
    "humanizeDuration": _humanize_duration,
    "humanize_percentage": _humanize_percentage,
    "humanize_duration": _humanize_duration,
}
_OWN_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    **{name: _of_numbers(name, formatted) for name, formatted in _HUMANE.items()},
    **PYTHONS,
}


def bounded_environment() -> minijinja.Environment:
    """An engine for what `rewritten` gives, with a bound on work."""
    return minijinja.Environment(fuel=_FUEL, keep_trailing_newline=True, filters=_OWN_FILTERS)


def _environment_of_rules() -> minijinja.Environment:
    environment = bounded_environment()
    environment.auto_escape_callback = lambda _name: False  # what is shown where escapes for that place
    environment.undefined_behavior = "lenient"
    environment.finalizer = _shown
    return environment


_environment: Final = _environment_of_rules()
_DEPENDS_ON_VALUES: Final = ("UndefinedError", "InvalidOperation", "BadSerialization", "UnknownMethod")
_SAMPLE: Final[dict[str, Any]] = {
    **dict.fromkeys(_NAMES, ""), "labels": offered({}), "value": 1.5, "threshold": 1.5,
    "expected": offered({"value": 1.5, "lower": 1.5, "upper": 1.5, "score": 1.5}),
}  # fmt: skip
