"""A file of routes, each mistake and each doubt with its file, line, column and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tocsin.cli.failures import Failure
from tocsin.cli.files import in_order, line, lines, read_document
from tocsin.documents import Document
from tocsin.engine.route.lint import lint
from tocsin.schemas.route import Routing


def read_routing(path: Path) -> tuple[Routing, list[str]]:
    """The routes of a file, and a line for each doubt. Raises Failure with a line for each mistake."""
    document = whole_document(path)
    if not isinstance(document.value, dict):
        raise Failure(f"{document.at(())}: must be a mapping of names to values; begin with route:")
    try:
        routing = Routing.model_validate(document.value)
    except ValidationError as error:
        raise Failure(*lines(document, (), error, Routing)) from None
    return routing, in_order([line(document, (), path, text) for path, text in lint(routing)])


def whole_document(path: Path) -> Document:
    """A file that can be read. Raises Failure."""
    mistakes: list[str] = []
    document = read_document(path, mistakes)
    if mistakes or document is None:
        raise Failure(*in_order(mistakes))
    return document


def written(routing: Routing) -> dict[str, Any]:
    """As a file would hold it."""
    return {name: value for name, value in routing.document().items() if name != "id"}
