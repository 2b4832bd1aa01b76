"""Rules and channels in files: one entry, a list, or `{rules: [...]}`, each mistake with its file, line and field."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tocsin import documents
from tocsin.cli.failures import Failure
from tocsin.documents import Document, DocumentError, Location
from tocsin.schemas.channel import Channel
from tocsin.schemas.problems import field_errors
from tocsin.schemas.rule import Rule

_SUFFIXES = (".yaml", ".yml", ".json")
_Entry = TypeVar("_Entry", Rule, Channel)


@dataclass(frozen=True, slots=True)
class Placed(Generic[_Entry]):
    """An entry, and where it stands: `rules/api.yaml:7`."""

    entry: _Entry
    where: str


def read_rules(paths: Sequence[Path]) -> list[Placed[Rule]]:
    """All rules of files and directories. Raises Failure with every mistake in all of them."""
    return _read(paths, Rule, "rules", _template_mistakes)


def read_channels(paths: Sequence[Path]) -> list[Placed[Channel]]:
    """All channels of files and directories; what their `config` may hold is the API's to judge."""
    return _read(paths, Channel, "channels", lambda _channel: ())


Mistake = tuple[Location, str]


def _read(
    paths: Sequence[Path], model: type[_Entry], plural: str, check: Callable[[_Entry], Sequence[Mistake]]
) -> list[Placed[_Entry]]:
    found: dict[str, Placed[_Entry]] = {}
    mistakes: list[str] = []
    for path in _files(paths, mistakes):
        try:
            document = _document(path)
            entries = list(_entries(document, plural))
        except DocumentError as error:
            mistakes.append(str(error))
            continue
        for location, value in entries:
            lines = _validated(document, location, value, model, check, found)
            mistakes += lines
    if mistakes:
        raise Failure(*mistakes)
    return list(found.values())


def _files(paths: Sequence[Path], mistakes: list[str]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(entry for entry in path.rglob("*") if entry.suffix in _SUFFIXES and entry.is_file())
        if not inside:
            mistakes.append(f"{path}: holds no {', '.join(_SUFFIXES)} file; name another directory")
        yield from inside


def _document(path: Path) -> Document:
    if str(path) == "-":
        return documents.parse(sys.stdin.buffer.read(documents.MAX_BYTES + 1), "standard input")
    return documents.read(path)


def _entries(document: Document, plural: str) -> Iterator[tuple[Location, Any]]:
    value: Any = document.value
    location: Location = ()
    if value is None:
        raise DocumentError(f"{document.name}: is empty; write a list of {plural}")
    if isinstance(value, dict) and plural in value:
        for other in value:
            if other != plural:
                raise DocumentError(f"{document.where((other,))}: {other}: does not go beside {plural!r}; remove it")
        value, location = value[plural], (plural,)
        if not isinstance(value, list):
            raise DocumentError(f"{document.where(location)}: {plural}: must be a list; begin each entry with a dash")
    if not isinstance(value, list):
        yield location, value
        return
    for number, entry in enumerate(value):
        yield (*location, number), entry


def _validated(
    document: Document,
    location: Location,
    value: Any,
    model: type[_Entry],
    check: Callable[[_Entry], Sequence[Mistake]],
    found: dict[str, Placed[_Entry]],
) -> list[str]:
    """The mistakes in one entry; without any, it joins the others."""
    where = document.where(location)
    if not isinstance(value, dict):
        return [f"{where}: must be a mapping of names to values; write id: my_{model.__name__.lower()}"]
    try:
        entry = model.model_validate(value)
    except ValidationError as error:
        return _lines(document, location, error, model)
    mistakes = check(entry)
    if mistakes:
        return [_line(document, location, mistake) for mistake in mistakes]
    if entry.id in found:
        return [
            f"{document.where((*location, 'id'))}: id: {entry.id!r} stands in {found[entry.id].where} too; rename one"
        ]
    found[entry.id] = Placed(entry, where)
    return []


def _line(document: Document, location: Location, mistake: Mistake) -> str:
    return f"{document.where((*location, *mistake[0]))}: {'.'.join(map(str, mistake[0]))}: {mistake[1]}"


def _lines(document: Document, location: Location, error: ValidationError, model: type[BaseModel]) -> list[str]:
    items = error.errors(include_url=False)
    lines = []
    for item, mistake in zip(items, field_errors(error, model), strict=True):
        lines.append((document.mark((*location, *item["loc"])).line, str(mistake)))
    return [f"{document.name}:{line}: {text}" for line, text in sorted(lines)]


def _template_mistakes(rule: Rule) -> list[Mistake]:
    from tocsin.engine.templates import check

    return [
        ((field, name), problem)
        for field, templates in (("labels", rule.labels), ("annotations", rule.annotations))
        for name, template in templates.items()
        if (problem := check(template))
    ]
