"""People, schedules and policies in files, and making those of the API the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tocsin.cli.applying import print_difference
from tocsin.cli.client import ApiClient, in_path
from tocsin.cli.failures import Failure
from tocsin.cli.files import Found, in_order, read_kinds
from tocsin.cli.printing import remark
from tocsin.schemas.escalation import KINDS, EscalationDocument
from tocsin.schemas.references import Known, circles, missing, named

Files = Mapping[str, Found[Any]]
Entries = dict[str, dict[str, dict[str, Any]]]
"""Documents by kind and id."""


def read(paths: Sequence[Path], kind: str) -> Files:
    """What files hold, by kind; what stands under none of their names is of one `kind`."""
    return read_kinds(paths, KINDS, kind)


def checked(files: Files, elsewhere: Known | None = None) -> dict[str, list[EscalationDocument]]:
    """All entries by kind. Raises Failure with every mistake in each and between them.

    `elsewhere` are ids in force, which the files need not hold; without it, only what files hold any of is judged.
    """
    known = {kind: {*found.entries, *found.unsound} for kind, found in files.items()}
    for kind, ids in (elsewhere or {}).items():
        known.setdefault(kind, set()).update(ids)
    where = "in the files" if elsewhere is None else "in the files, nor in force"
    mistakes = [mistake for found in files.values() for mistake in found.mistakes]
    every = [placed.entry for found in files.values() for placed in found.entries.values()]
    for found in files.values():
        for placed in found.entries.values():
            wrong = *missing(placed.entry, known, where), *circles(placed.entry, every)
            mistakes += [placed.line(path, text) for path, text in wrong]
    if mistakes:
        raise Failure(*in_order(mistakes))
    return {kind: [placed.entry for placed in files[kind].entries.values()] for kind in KINDS if kind in files}


async def apply(client: ApiClient, files: Files, *, prune: bool, dry_run: bool) -> None:
    """Creates, changes and, with `prune`, deletes what the files lack of the kinds that they hold; a line for each.

    A schedule that says nothing of overrides keeps those in force.
    """
    async with client:
        before = {kind: {one["id"]: _document(kind, one) for one in await client.items(f"/{kind}")} for kind in KINDS}
        known: dict[str, Iterable[str]] = {kind: () if prune and kind in files else before[kind] for kind in KINDS}
        known["channels"] = [one["id"] for one in await client.items("/channels")]
        wanted = checked(files, {kind: set(ids) for kind, ids in known.items()})
        after = {kind: {one.id: _kept(kind, one, before) for one in entries} for kind, entries in wanted.items()}
        written = [(kind, name) for kind in after for name in _named_first(kind, wanted[kind])]
        changed = [(kind, name) for kind, name in written if before[kind].get(name) != after[kind][name]]
        gone = [(kind, name) for kind in after for name in before[kind] if name not in after[kind]] if prune else []
        gone = _naming_first(gone, before)
        if dry_run:
            for kind, name in (*changed, *gone):
                print_difference(f"{kind} {name}", before[kind].get(name), after[kind].get(name))
        else:
            for kind, name in changed:
                await client.send("PUT", f"/{kind}/{in_path(name)}", after[kind][name])
                print(f"{'changed' if name in before[kind] else 'created'} {kind} {name}")
            for kind, name in gone:
                await client.send("DELETE", f"/{kind}/{in_path(name)}")
                print(f"deleted {kind} {name}")
    created = sum(name not in before[kind] for kind, name in changed)
    unchanged = len(written) - len(changed)
    counts = f"{created} created, {len(changed) - created} changed, {len(gone)} deleted, {unchanged} unchanged"
    remark(f"{counts} (dry run: nothing was done)" if dry_run else counts)


def _read(kind: str, item: Mapping[str, Any]) -> EscalationDocument | None:
    """What the API gives; None for what is of another version."""
    known = {name: value for name, value in item.items() if name in KINDS[kind].model_fields}
    try:
        return KINDS[kind].model_validate(known)
    except ValidationError:
        return None


def _document(kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """As files would hold it; what is of another version as it stands, so that it is written anew."""
    found = _read(kind, item)
    return found.document() if found else dict(item)


def _kept(kind: str, entry: EscalationDocument, before: Entries) -> dict[str, Any]:
    stored = before[kind].get(entry.id)
    if kind == "schedules" and stored and "overrides" not in entry.model_fields_set:
        return entry.document() | {"overrides": stored.get("overrides", [])}
    return entry.document()


def _named_first(kind: str, entries: Sequence[EscalationDocument]) -> list[str]:
    """Ids in their order, but none before those of its kind that it names."""
    by_id, found = {one.id: one for one in entries}, dict[str, None]()

    def add(name: str, above: tuple[str, ...]) -> None:
        for _, of, other in named(by_id[name]):
            if of == kind and other in by_id and other not in above:
                add(other, (*above, name))
        found.setdefault(name)

    for name in by_id:
        add(name, (name,))
    return list(found)


def _naming_first(gone: Sequence[tuple[str, str]], before: Entries) -> list[tuple[str, str]]:
    """What is to go, policies first, then schedules, and each before what it names."""
    found = []
    for kind in reversed(KINDS):
        names = [name for of, name in gone if of == kind]
        readable = [one for name in names if (one := _read(kind, before[kind][name]))]
        order = [*reversed(_named_first(kind, readable)), *names]
        found += [(kind, name) for name in dict.fromkeys(order)]
    return found
