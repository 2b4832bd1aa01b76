"""Data for people and for programs: a table, JSON or YAML on standard output; remarks on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tocsin.cli.options import Output
from tocsin.terminal import escape, is_safe

_WIDEST = 100_000
_STYLES = {
    "critical": "bold red", "error": "red", "firing": "bold red", "failed": "red", "warning": "yellow",
    "pending": "yellow", "retrying": "yellow", "acknowledged": "cyan", "resolved": "green", "delivered": "green",
}  # fmt: skip


def print_items(items: Sequence[Mapping[str, Any]], columns: Mapping[str, str], output: Output, empty: str) -> None:
    """A list of entries. `columns` are heading to dotted path; `empty` is said, on standard error, for none."""
    if output is not Output.TABLE:
        print_value(list(items), output)
    elif items:
        _table(items, columns)
    if not items:
        remark(empty)


def print_value(value: Any, output: Output) -> None:
    """One entry: YAML where a table was asked for, since nothing nested fits in one."""
    if output is Output.JSON:
        print(_dumped(lambda unicode: json.dumps(value, indent=2, ensure_ascii=not unicode, default=str)))
    else:
        print(as_yaml(value), end="")


def remark(*lines: str) -> None:
    """Says something that is no data."""
    for line in lines:
        print(escape(line), file=sys.stderr)


def as_yaml(value: Any) -> str:
    """YAML that reads back to the same."""
    return _dumped(lambda unicode: _yaml(value, unicode))


def _dumped(dump: Callable[[bool], str]) -> str:
    """With the user's letters if the terminal has them, and in ASCII where something would reorder or hide text."""
    text = dump(True)
    return text if _is_utf8() and is_safe(text) else dump(False)


def _yaml(value: Any, unicode: bool) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.allow_unicode = unicode
    writer.width = 1_000
    text = StringIO()
    writer.dump(value, text)
    return text.getvalue().removesuffix("...\n")


def text_of(value: Any) -> str:
    """A cell: nothing for None, `a=b, c=d` for labels."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 else str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text_of(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value))
    return escape(str(value))


def _table(items: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for item in items:
        cells = [text_of(_at(item, path)) for path in columns.values()]
        table.add_row(*(Text(escape(cell), style=_STYLES.get(cell, "")) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is cut or wrapped: `grep` and `awk` want whole lines. A width given to `print` is bounded by this one.
        console = Console(highlight=False, width=_WIDEST)
    console.print(table, crop=False, soft_wrap=not console.is_terminal)


def _at(item: Mapping[str, Any], path: str) -> Any:
    value: Any = item
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
