"""A file of routes, each mistake and each doubt with its file, line, column and field."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tocsin.cli.client import Answer, ApiClient
from tocsin.cli.failures import Failure, NotFound
from tocsin.cli.files import in_order, line, lines, read_document
from tocsin.cli.printing import as_yaml
from tocsin.documents import Document
from tocsin.engine.route.lint import lint
from tocsin.schemas.route import Routing
from tocsin.terminal import escape


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


async def apply(client: ApiClient, routing: Routing, said: Collection[str], *, dry_run: bool) -> list[str]:
    """Makes them those in force, unless others change these meanwhile; with `dry_run` prints the difference.

    Returns what became of it, and before that what the API finds doubtful, but for the doubts that were `said`.
    """
    after = written(routing)
    async with client:
        try:
            stored = await client.content("GET", "/routes")
        except NotFound:
            stored = Answer(404, {})
        before = _as_written(stored.body)
        if before == after:
            return ["unchanged"]
        if dry_run:
            _print_difference(before, after)
            return ["dry run: nothing was done"]
        headers = {"If-Match": stored.etag or "*"} if before else {"If-None-Match": "*"}
        answer = await client.content("PUT", "/routes", after, headers=headers)
    doubts = [f"{one['field']}: {one['message']}" for one in answer.body.get("warnings", ())]
    new = [doubt for doubt in doubts if not any(line.endswith(doubt) for line in said)]
    return [*new, "routes replaced" if before else "routes created"]


def _as_written(stored: Mapping[str, Any]) -> dict[str, Any]:
    """As a file would hold what the API gives; as it stands if it is of another version, so that it is written anew."""
    known = {name: value for name, value in stored.items() if name in Routing.model_fields}
    try:
        return written(Routing.model_validate(known))
    except ValidationError:
        return known


def _print_difference(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = (as_yaml(one).splitlines() if one else [] for one in (before, after))
    for text in difflib.unified_diff(old, new, "in force", "file", lineterm=""):
        print(escape(text))
