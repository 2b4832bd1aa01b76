"""Rules, channels and the like in files: one entry, a list, or `{rules: [...]}`, each mistake with its file, line,
column and field."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from tocsin import documents
from tocsin.cli.failures import Failure
from tocsin.documents import Document, DocumentError, Location
from tocsin.schemas.channel import Channel
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.oncall import Person, Schedule
from tocsin.schemas.problems import located_errors
from tocsin.schemas.rule import Rule

_SUFFIXES = (".yaml", ".yml", ".json")
_PLACE = re.compile(r"(?P<name>.+?):(?P<line>\d+):(?P<column>\d+): ")
_Entry = TypeVar("_Entry", Rule, Channel, EscalationPolicy, Schedule, Person)


@dataclass(frozen=True, slots=True)
class Placed(Generic[_Entry]):
    """An entry, and where it stands."""

    entry: _Entry
    document: Document
    location: Location

    @property
    def where(self) -> str:
        """`rules/api.yaml:7`."""
        return self.document.where(self.location)

    def line(self, path: Location, text: str, *, of_name: bool = False) -> str:
        """`rules/api.yaml:7:13: window.size: what is wrong; the mend`."""
        return line(self.document, self.location, path, text, of_name=of_name)


@dataclass(slots=True)
class Found(Generic[_Entry]):
    """What files hold: sound entries by id, ids of others, and a line for each mistake."""

    entries: dict[str, Placed[_Entry]] = field(default_factory=dict)
    unsound: set[str] = field(default_factory=set)
    mistakes: list[str] = field(default_factory=list)

    def sound(self) -> list[Placed[_Entry]]:
        """All entries. Raises Failure with every mistake, if there is any."""
        if self.mistakes:
            raise Failure(*in_order(self.mistakes))
        return list(self.entries.values())


def read_rules(paths: Sequence[Path]) -> Found[Rule]:
    """All rules of files and directories, each for itself; `rulebooks.cross_checked` says whether they go together."""
    return _read(paths, Rule, "rules")


def read_channels(paths: Sequence[Path]) -> list[Placed[Channel]]:
    """All channels of files and directories; what their `config` may hold `previewing.mistakes_in` says."""
    return _read(paths, Channel, "channels").sound()


def read_kinds(paths: Sequence[Path], models: Mapping[str, type[Any]], kind: str) -> dict[str, Found[Any]]:
    """All entries of files and directories that may hold several kinds, each under its own name, by kind.

    What stands there without such a name is of one `kind`; only kinds that the files hold are in the answer. What files
    hold that cannot be read counts to `kind`.
    """
    found: dict[str, Found[Any]] = {kind: Found()}
    mistakes = found[kind].mistakes
    for path in _files(paths, mistakes):
        document = read_document(path, mistakes)
        if document is None:
            continue
        try:
            entries = list(_entries(document, kind, models))
        except DocumentError as error:
            mistakes += str(error).splitlines()
            continue
        for of, location, value in entries:
            take(document, location, value, models[of], found.setdefault(of, Found()))
    return {of: one for of, one in found.items() if one.entries or one.mistakes}


def _read(paths: Sequence[Path], model: type[_Entry], plural: str) -> Found[_Entry]:
    return read_kinds(paths, {plural: model}, plural).get(plural, Found())


def _files(paths: Sequence[Path], mistakes: list[str]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(entry for entry in path.rglob("*") if entry.suffix in _SUFFIXES and entry.is_file())
        if not inside:
            mistakes.append(f"{path}: holds no {', '.join(_SUFFIXES)} file; name another directory")
        yield from inside


def read_document(path: Path, mistakes: list[str]) -> Document | None:
    """A file, or what could be read of it; what is wrong joins the mistakes."""
    try:
        if str(path) == "-":
            return documents.parse(sys.stdin.buffer.read(documents.MAX_BYTES + 1), "standard input")
        return documents.read(path)
    except DocumentError as error:
        mistakes += str(error).splitlines()
        return error.document


def _entries(document: Document, kind: str, kinds: Collection[str]) -> Iterator[tuple[str, Location, Any]]:
    value: Any = document.value
    if value is None:
        raise DocumentError(f"{document.at(())}: is empty; write a list of {kind}")
    sections = [name for name in value if name in kinds] if isinstance(value, dict) else []
    if not sections:
        yield from ((kind, location, entry) for location, entry in _listed((), value))
        return
    text = f"does not go beside {sections[0]!r}; remove it"
    others = [line(document, (), (other,), text, of_name=True) for other in value if other not in kinds]
    if others:
        raise DocumentError("\n".join(others))
    for section in sections:
        if not isinstance(value[section], list):
            where = document.at((section,))
            raise DocumentError(f"{where}: {section}: must be a list; begin each entry with a dash")
        yield from ((section, location, entry) for location, entry in _listed((section,), value[section]))


def _listed(location: Location, value: Any) -> Iterator[tuple[Location, Any]]:
    if not isinstance(value, list):
        yield location, value
        return
    for number, entry in enumerate(value):
        yield (*location, number), entry


def take(document: Document, location: Location, value: Any, model: type[_Entry], found: Found[_Entry]) -> None:
    """One entry joins the others, or its mistakes join theirs."""
    if not isinstance(value, dict):
        text = f"must be a mapping of names to values; write id: my_{model.__name__.lower()}"
        found.mistakes.append(line(document, location, (), text))
        return
    try:
        entry = model.model_validate(value)
    except ValidationError as error:
        found.mistakes += lines(document, location, error, model)
        found.mistakes += _template_mistakes(document, location, value, model)
        found.unsound.add(str(value.get("id")))
        return
    placed = Placed(entry, document, location)
    before = found.entries.get(entry.id)
    wrong = _template_mistakes(document, location, value, model)
    if before is not None:
        wrong.append(placed.line(("id",), f"{entry.id!r} stands in {before.where} too; rename one"))
    found.mistakes += wrong
    if wrong:
        found.unsound.add(entry.id)
    else:
        found.entries[entry.id] = placed


def line(document: Document, location: Location, path: Location, text: str, *, of_name: bool = False) -> str:
    """`rules/api.yaml:7:13: window.size: what is wrong; the mend`; `path` is within the entry at `location`."""
    where = document.at((*location, *path), of_name=of_name)
    return ": ".join(filter(None, (where, ".".join(map(str, path)), text)))


def lines(document: Document, location: Location, error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each mistake that a model found, in the order of the file."""
    found = []
    for located in located_errors(error, model):
        path = (*location, *located.path)
        mark = document.mark(path, of_name=located.of_name)
        text = f"{document.at(path, of_name=located.of_name)}: {located.error}"
        found.append((mark.line, mark.column, text))
    return list(dict.fromkeys(text for _, _, text in sorted(found)))


def in_order(mistakes: Sequence[str]) -> list[str]:
    """Error lines by file, files in the order of their first line, then by place; what names no place comes first."""
    places = [_PLACE.match(mistake) for mistake in mistakes]
    names = list(dict.fromkeys(place["name"] if place else "" for place in places))
    keys = [(names.index(place["name"]), int(place["line"]), int(place["column"])) if place else () for place in places]
    return [mistake for _, mistake in sorted(zip(keys, mistakes, strict=True), key=lambda entry: entry[0])]


def _template_mistakes(document: Document, location: Location, value: Any, model: type[BaseModel]) -> list[str]:
    """What is wrong with the templates of a rule, whatever else is."""
    from tocsin.engine.templates import check

    if model is not Rule:
        return []
    sections = {name: value.get(name) for name in ("labels", "annotations")}
    return [
        line(document, location, (name, key), problem)
        for name, templates in sections.items()
        if isinstance(templates, dict)
        for key, template in templates.items()
        if isinstance(template, str) and (problem := check(template))
    ]
