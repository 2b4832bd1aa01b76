"""`edit` of one entry of the API: in an editor, or by a merge patch from a file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tocsin import documents
from tocsin.cli.failures import Failure, run, wrong_usage
from tocsin.cli.options import Config, Url, command
from tocsin.cli.printing import as_yaml, remark

if TYPE_CHECKING:
    from tocsin.cli.client import Answer

_ADDED: Final = ("revision", "updated_at", "warnings")
_EDITORS: Final = ("VISUAL", "EDITOR")
Id = Annotated[str, typer.Argument(metavar="ID", help="From `list`.")]
Merge = Annotated[
    Path | None,
    typer.Option("--merge", metavar="FILE", help="The fields that change (RFC 7386), no editor; - for standard input."),
]


def add_edit(app: typer.Typer, kind: str, example: str) -> None:
    """Adds `edit ID` to the commands of a kind."""

    @command(app, f"tocsin {kind} edit {example}", f"echo '{{name: Another}}' | tocsin {kind} edit {example} --merge -")
    def edit(entry_id: Id, merge: Merge = None, url: Url = None, config: Config = None) -> None:
        """Change one in your editor ($VISUAL or $EDITOR), or some fields of it; not over what others did meanwhile."""
        from tocsin.cli.client import in_path

        _edit(config, url, f"/{kind}/{in_path(entry_id)}", merge)


def add_edit_all(app: typer.Typer, kind: str) -> None:
    """Adds `edit` for what there is one of."""

    @command(app, f"tocsin {kind} edit")
    def edit(merge: Merge = None, url: Url = None, config: Config = None) -> None:
        """Change them in your editor ($VISUAL or $EDITOR), or some fields; not over what others did meanwhile."""
        _edit(config, url, f"/{kind}", merge)


def _edit(config: Path | None, url: str | None, path: str, merge: Path | None) -> None:
    change = _change(merge) if merge is not None else None
    before = run(_sent(config, url, "GET", path))
    headers = {"If-Match": before.etag or "*"}
    if change is not None:
        written = run(_sent(config, url, "PATCH", path, change, headers))
    else:
        shown = {name: value for name, value in before.body.items() if name not in _ADDED}
        kept, after = _by_hand(shown)
        if after == shown:
            remark("unchanged")
            return
        try:
            written = run(_sent(config, url, "PUT", path, after, headers))
        except Failure as failure:
            raise Failure(*failure.lines, f"your text is kept in {kept}", code=failure.code) from None
        kept.unlink()
    remark(*(f"{one['field']}: {one['message']}" for one in written.body.get("warnings") or ()), "changed")


async def _sent(
    config: Path | None,
    url: str | None,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    from tocsin.cli.client import connect

    async with connect(config, url) as client:
        return await client.content(method, path, body, headers=headers)


def _change(merge: Path) -> dict[str, Any]:
    is_given = str(merge) == "-"
    content = sys.stdin.buffer.read(documents.MAX_BYTES + 1) if is_given else b""
    return _mapping(documents.parse(content, "<stdin>") if is_given else documents.read(merge))


def _by_hand(shown: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """A text in an editor: the file that keeps it, which is gone where nothing was changed, and what it says."""
    editor = _editor()
    number, name = tempfile.mkstemp(".yaml", "tocsin-")
    kept = Path(name)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(as_yaml(shown))
    status = subprocess.run([*editor, name], check=False).returncode
    if status:
        kept.unlink()
        raise Failure(f"{editor[0]} ended with {status}; nothing was changed")
    try:
        after = _mapping(documents.read(kept))
    except documents.DocumentError as error:
        raise Failure(*str(error).splitlines(), "nothing was changed; your text is kept there") from None
    if after == shown:
        kept.unlink()
    return kept, after


def _editor() -> list[str]:
    """The words of its command, which no shell reads."""
    said = next((os.environ[name] for name in _EDITORS if os.environ.get(name)), "vi")
    try:
        words = shlex.split(said)
    except ValueError:
        wrong_usage(f"{said}: has a quote that is not closed; set EDITOR to your editor, or give the fields by --merge")
    if not words or shutil.which(words[0]) is None:
        wrong_usage(f"{said}: is no program here; set EDITOR to your editor, or give the fields by --merge")
    return words


def _mapping(document: documents.Document) -> dict[str, Any]:
    if not isinstance(document.value, dict):
        raise Failure(f"{document.at(())}: must be a mapping of names to values; nothing was changed")
    return document.value
