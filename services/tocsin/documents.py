"""The one entry point for YAML and JSON that people write: bounded, without surprises, each value with its line.

YAML 1.2 without what makes it dangerous or ambiguous: anchors, aliases, merge keys, tags, several documents, and keys
that stand twice are refused with the line. Nesting and size are bounded before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 2 * 2**20
MAX_DEPTH: Final = 64
MAX_NODES: Final = 100_000

Location = tuple[str | int, ...]

_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII
)
_MAX_DIGITS = 300
# By a part of what the parser says.
_MENDS = {
    "'\\t'": "a tab cannot indent, use spaces",
    "mapping values are not allowed": "quote a text that has a colon, or indent the line like its neighbours",
    "stream end": "close the bracket, brace or quote",
    "unexpected end of stream": "close the quote",
    "but got": "close the bracket or brace, or separate with a comma",
    "<block end>": "indent entries of one list or mapping equally",
    "cannot start any token": "put the text in quotes",
    "unknown escape character": "double the backslash, or use single quotes",
    "could not find expected ':'": "write a colon and a space after the name",
}


class DocumentError(ValueError):
    """A file that cannot be read; a line for each mistake, `rules/api.yaml:7:13: what is wrong; the mend`.

    `document` is what could be read all the same, where that makes sense.
    """

    def __init__(self, text: str, document: Document | None = None) -> None:
        super().__init__(text)
        self.document = document


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something stands, counted from 1; columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file, and where each stands: `marks` of names and of list items, `values` of what is under
    them. What a name holds in lines below it (a block) stands where the name does."""

    name: str
    value: Any
    marks: Mapping[Location, Mark]
    values: Mapping[Location, Mark]

    def mark(self, path: Location, *, of_name: bool = False) -> Mark:
        """Where the value at the path stands, or its name; for what is not there, the nearest thing around it."""
        marks = self.marks if of_name and path in self.marks else self.values
        while path and path not in marks:
            path = path[:-1]
        return marks.get(path, Mark(1, 1))

    def where(self, path: Location) -> str:
        """`rules/api.yaml:7`, the line of an entry."""
        return f"{self.name}:{self.mark(path, of_name=True).line}"

    def at(self, path: Location, *, of_name: bool = False) -> str:
        """`rules/api.yaml:7:13`, for the beginning of an error line."""
        mark = self.mark(path, of_name=of_name)
        return f"{self.name}:{mark.line}:{mark.column}"


def read(path: Path, name: str | None = None) -> Document:
    """Reads a file; `name` is how errors call it. Raises DocumentError."""
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise DocumentError(f"{shown}: there is no such file; check the path") from None
    except OSError as error:
        raise DocumentError(f"{shown}: cannot be read: {error.strerror or error}") from None
    return parse(content, shown)


def parse(content: bytes, name: str) -> Document:
    """Parses one document. Raises DocumentError with the line of what is wrong."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(content) > MAX_BYTES:
        raise DocumentError(f"{name}: is larger than {MAX_BYTES // 2**20} MiB; split it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", "replace")
        place = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise DocumentError(f"{place}: is not UTF-8; save the file as UTF-8") from None
    builder = _Builder(name)
    try:
        # The pure parser: it makes events one by one, so the bounds hold before anything grows, and it cannot crash.
        value = builder.document(YAML(typ="safe", pure=True).parse(text))
    except DocumentError as error:
        raise DocumentError("\n".join([*builder.mistakes, str(error)])) from None
    except MarkedYAMLError as error:
        found = error.problem_mark
        mark = Mark(found.line + 1, found.column + 1) if found else Mark(1, 1)
        line = f"{name}:{mark.line}:{mark.column}: is not YAML: {_problem(error)}"
        raise DocumentError("\n".join([*builder.mistakes, line])) from None
    except YAMLError as error:
        raise DocumentError(f"{name}: is not YAML: {str(error).splitlines()[0]}") from None
    document = Document(name, value, builder.marks, builder.values)
    if builder.mistakes:
        raise DocumentError("\n".join(builder.mistakes), document)
    return document


def _problem(error: Any) -> str:
    text = str(error.problem or error.context or "it cannot be understood").strip()
    mend = next((mend for sign, mend in _MENDS.items() if sign in text), "")
    return text + (f"; {mend}" if mend else "")


class _Builder:
    """Values from parser events; what is wrong but does not hinder reading on is among the mistakes."""

    def __init__(self, name: str) -> None:
        self.marks: dict[Location, Mark] = {}
        self.values: dict[Location, Mark] = {}
        self.mistakes: list[str] = []
        self._name = name
        self._nodes = 0

    def document(self, events: Iterator[Any]) -> Any:
        """The only document's value; None for an empty file."""
        value: Any = None
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self._error(event, "holds a second document (---); keep one to a file")
            elif kind not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                self.marks[()] = self.values[()] = _mark(event)
                value = self._value(event, events, ())
        return value

    def _value(self, event: Any, events: Iterator[Any], path: Location) -> Any:
        kind = type(event).__name__
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(event, f"holds over {MAX_NODES} values; split the file")
        if kind == "AliasEvent":
            raise self._error(event, f"an alias (*{event.anchor}) is not allowed; write the value out")
        if event.anchor is not None:
            self._note(event, f"an anchor (&{event.anchor}) is not allowed; remove it")
        if event.tag is not None:
            self._note(event, f"a tag ({event.tag}) is not allowed; remove it")
        if len(path) >= MAX_DEPTH and kind != "ScalarEvent":
            raise self._error(event, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        if kind == "MappingStartEvent":
            return self._mapping(events, path)
        if kind == "SequenceStartEvent":
            return self._sequence(events, path)
        return self._scalar(event)

    def _mapping(self, events: Iterator[Any], path: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in events:
            if type(event).__name__ == "MappingEndEvent":
                break
            if type(event).__name__ != "ScalarEvent":
                raise self._error(event, "a name must be plain text, not a list, a mapping or an alias")
            key = str(event.value)
            if key == "<<" and not event.style:
                raise self._error(event, "a merge key (<<) is not allowed; write the values out")
            self._value(event, events, (*path, key))  # a name has no anchor or tag either
            if key in found:
                first = self.marks[*path, key]
                self._note(event, f"{key!r} stands twice, first in line {first.line}; remove one")
            under = next(events)
            self.marks[*path, key] = _mark(event)
            self.values[*path, key] = _mark(event if _is_below(under) else under)
            found[key] = self._value(under, events, (*path, key))
        return found

    def _sequence(self, events: Iterator[Any], path: Location) -> list[Any]:
        found: list[Any] = []
        for event in events:
            if type(event).__name__ == "SequenceEndEvent":
                break
            self.marks[*path, len(found)] = self.values[*path, len(found)] = _mark(event)
            found.append(self._value(event, events, (*path, len(found))))
        return found

    def _scalar(self, event: Any) -> Any:
        text = str(event.value)
        if event.style:  # quoted, or a block of text
            return text
        if text in _NULLS:
            return None
        if text in _TRUTHS:
            return _TRUTHS[text]
        if len(text) > _MAX_DIGITS:
            return text
        if _INTEGER.fullmatch(text):
            return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
        if _FLOAT.fullmatch(text):
            # `.inf` and `.nan` are YAML's spellings; a dot before a digit is Python's too.
            return float(re.sub(r"\.(?=[a-zA-Z])", "", text))
        return text

    def _note(self, event: Any, text: str) -> None:
        self.mistakes.append(str(self._error(event, text)))

    def _error(self, event: Any, text: str) -> DocumentError:
        mark = _mark(event)
        return DocumentError(f"{self._name}:{mark.line}:{mark.column}: {text}")


def _is_below(event: Any) -> bool:
    """Whether a value stands in lines below its name, or nowhere."""
    if type(event).__name__ == "ScalarEvent":
        return not event.value and not event.style
    return getattr(event, "flow_style", None) is False


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
