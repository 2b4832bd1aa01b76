"""Making the API's rules those of the files: what differs, shown as a difference, then done."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tocsin.cli.client import Answer, ApiClient, in_path
from tocsin.cli.files import Found
from tocsin.cli.printing import as_yaml, remark
from tocsin.cli.rulebooks import cross_checked
from tocsin.schemas.composites import members_first
from tocsin.schemas.rule import Rule
from tocsin.terminal import escape


async def apply(client: ApiClient, found: Found[Rule], *, prune: bool, dry_run: bool) -> None:
    """Creates, changes and, with `prune`, deletes; prints one line for each, or with `dry_run` the difference.

    Raises Failure where the rules do not go together with each other and those that stay in force.
    """
    async with client:
        in_force = {item["id"]: as_rule(item) for item in await client.items("/rules")}
        known = {rule_id: rule if isinstance(rule, Rule) else None for rule_id, rule in in_force.items()}
        before = {rule_id: rule.document() if isinstance(rule, Rule) else rule for rule_id, rule in in_force.items()}
        wanted = {placed.entry.id: placed.entry for placed in cross_checked(found, {} if prune else known)}
        after = {rule_id: rule.document() for rule_id, rule in wanted.items()}
        # The API takes no composite before its members, and lets none go that is one.
        created = members_first([rule_id for rule_id in after if rule_id not in before], wanted)
        changed = [rule_id for rule_id in after if rule_id in before and before[rule_id] != after[rule_id]]
        gone = [rule_id for rule_id in before if rule_id not in after] if prune else []
        deleted = members_first(gone, known)[::-1]
        if dry_run:
            for rule_id in (*created, *changed, *deleted):
                print_difference(rule_id, before.get(rule_id), after.get(rule_id))
        else:
            for rule_id in created:
                written = await client.send("POST", "/rules", after[rule_id])
                print(f"created {rule_id}")
                _warn(rule_id, written)
            for rule_id in changed:
                written = await client.send("PUT", f"/rules/{in_path(rule_id)}", after[rule_id])
                print(f"changed {rule_id}")
                _warn(rule_id, written)
            for rule_id in deleted:
                await client.send("DELETE", f"/rules/{in_path(rule_id)}")
                print(f"deleted {rule_id}")
    unchanged = len(after) - len(created) - len(changed)
    counts = f"{len(created)} created, {len(changed)} changed, {len(deleted)} deleted, {unchanged} unchanged"
    remark(f"{counts} (dry run: nothing was done)" if dry_run else counts)


def as_rule(item: Mapping[str, Any]) -> Rule | dict[str, Any]:
    """A rule as the API gives it, without what the API adds; as it stands if it is of another version."""
    known = {name: value for name, value in item.items() if name in Rule.model_fields}
    try:
        return Rule.model_validate(known)
    except ValidationError:
        return known  # it differs, so it is written anew


def _warn(rule_id: str, written: Answer) -> None:
    """Say what the API finds doubtful."""
    for one in (written.body or {}).get("warnings", ()):
        remark(f"{rule_id}: {one['field']}: {one['message']}")


def print_difference(entry_id: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
    """What would change, as a difference of two files."""
    old, new = (as_yaml(dict(document)).splitlines() if document else [] for document in (before, after))
    names = [f"in force: {entry_id}" if before else "nothing", f"files: {entry_id}" if after else "nothing"]
    for line in difflib.unified_diff(old, new, names[0], names[1], lineterm=""):
        print(escape(line))
