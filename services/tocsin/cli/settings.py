"""`tocsin config`: what is in force and where it came from; the schema and the reference of the file."""

from __future__ import annotations

import json
import os
from typing import Any

from tocsin.cli.options import Config, Format, Output, command, group
from tocsin.cli.printing import print_items, print_value

app = group("config", "Settings: what is in force, and what there is.")
_COLUMNS = {"SETTING": "setting", "VALUE": "value", "FROM": "source"}


@command(app, "tocsin config show", "tocsin config show --output json")
def show(output: Format = Output.TABLE, config: Config = None) -> None:
    """Print the settings in force, secrets masked, and where each value came from."""
    from tocsin.config import load
    from tocsin.config.reference import rows

    found = rows(load(config, os.environ))
    if output is Output.TABLE:
        print_items(found, _COLUMNS, output, "")
        return
    by_name: dict[str, Any] = {str(row["setting"]): {"value": row["value"], "from": row["source"]} for row in found}
    print_value(by_name, output)


@command(app, "tocsin config schema > tocsin.schema.json")
def schema() -> None:
    """Print the JSON Schema of the settings file, for editors."""
    from tocsin.config.reference import json_schema

    print(json.dumps(json_schema(), indent=2))


@command(app, "tocsin config reference > settings.md")
def reference() -> None:
    """Print the reference of all settings in Markdown."""
    from tocsin.config.reference import markdown

    print(markdown(), end="")
