"""Label matchers in Alertmanager's syntax: `service="api"`, `host!=a1`, `env=~"prod|stage"`, `zone!~eu-.*`.

A name of other characters is quoted too: `"host name"="a1"`. The text of a matcher always parses to the same matcher.

Patterns run on RE2, anchored at both ends: linear time whatever a user writes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import re2

OPERATORS = ("=~", "!~", "!=", "=")
MAX_PATTERN = 1_000
_SHAPE = re.compile(
    r'\s*(?P<name>"(?:[^"\\]|\\.)*"|[^\s=!~"{},]+)\s*(?P<op>=~|!~|!=|=)\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s",{}]*)\s*'
)
_PLAIN_NAME = re.compile(r'[^\s=!~"{},]+')
_ESCAPE = re.compile(r"\\(.)")
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is absent counts as empty."""

    name: str
    op: str
    value: str
    _pattern: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.op not in OPERATORS:
            raise ValueError(f"{self.op!r} is not an operator; use = != =~ or !~")
        if self.op in ("=~", "!~"):
            if len(self.value) > MAX_PATTERN:
                raise ValueError(f"the pattern for {self.name!r} is over {MAX_PATTERN} characters; shorten it")
            try:
                object.__setattr__(self, "_pattern", re2.compile(self.value, options=_OPTIONS))
            except re2.error as error:
                raise ValueError(f"{self.value!r} is not a regular expression (RE2): {_text(error)}; mend it") from None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set meets this condition."""
        value = labels.get(self.name, "")
        if self._pattern is not None:
            return bool(self._pattern.fullmatch(value)) == (self.op == "=~")
        return (value == self.value) == (self.op == "=")

    def __str__(self) -> str:
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else _quote(self.name)
        return f"{name}{self.op}{_quote(self.value)}"


def _text(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode() if isinstance(detail, bytes) else str(detail)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Parse one or several matchers, separated by commas, with or without braces.

    Raises ValueError that quotes the part at fault.
    """
    rest = text.strip()
    if rest.startswith("{") != rest.endswith("}"):
        raise ValueError(f'{text!r} has unbalanced braces; write {{service="api", host!="a1"}}')
    if rest.startswith("{"):
        rest = rest[1:-1]
    found = []
    while rest.strip():
        shape = _SHAPE.match(rest)
        if not shape or (shape.end() < len(rest) and rest[shape.end()] != ","):
            raise ValueError(f'{rest.strip()[:60]!r} is not a matcher; write service="api" (operators: = != =~ !~)')
        found.append(Matcher(_unquote(shape["name"]), shape["op"], _unquote(shape["value"])))
        rest = rest[shape.end() + 1 :]
    if not found:
        raise ValueError('no matcher given; write service="api" (operators: = != =~ !~)')
    return tuple(found)


def matchers_from(value: object) -> tuple[Matcher, ...]:
    """Matchers from any form users write: text, a list of texts, or a mapping of labels to values."""
    if isinstance(value, str):
        return parse_matchers(value)
    if isinstance(value, Mapping):
        return tuple(Matcher(str(name), "=", str(wanted)) for name, wanted in value.items())
    if isinstance(value, Iterable):
        found: list[Matcher] = []
        for item in value:
            found += (item,) if isinstance(item, Matcher) else matchers_from(item)
        return tuple(found)
    raise ValueError('matchers are a list such as ["service=api", "host!~test.*"]')


def matches_all(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether a label set meets every matcher."""
    return all(matcher.matches(labels) for matcher in matchers)
