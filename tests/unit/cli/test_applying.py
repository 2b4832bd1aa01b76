"""`tocsin rules apply`: what it sends, and that composites hang together with what stays in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.api_double import ApiDouble

from tocsin.cli.applying import apply
from tocsin.cli.client import Answer
from tocsin.cli.failures import Failure
from tocsin.cli.files import read_rules

LEAF: dict[str, Any] = {"id": "leaf", "metric_type": "m", "threshold": 1}
COMPOSITE = "{id: both, condition: composite, conditions: [leaf, leef]}"


class Api(ApiDouble):
    """Rules in force, and what was written."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        super().__init__()
        self.rules = rules

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(one.method, one.path) for one in self.written]

    @property
    def bodies(self) -> list[str]:
        """Ids of rules."""
        return [one.body["id"] for one in self.written if one.body is not None]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        if method == "GET":
            return Answer(200, {"items": list(self.rules)}, None)
        return Answer(200, None, None)


async def test_a_composite_may_name_what_stays_in_force(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(COMPOSITE.replace("leef", "old"))
    api = Api(LEAF, {"id": "old", "of": "another version"})
    await apply(api, read_rules([tmp_path]), prune=False, dry_run=False)
    assert api.sent == [("POST", "/rules")]


async def test_nothing_is_sent_where_a_composite_names_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(COMPOSITE)
    api = Api(LEAF)
    with pytest.raises(Failure, match="there is no rule 'leef' in the files, nor in force; did you mean 'leaf'"):
        await apply(api, read_rules([tmp_path]), prune=False, dry_run=False)
    assert api.sent == []


async def test_what_prune_deletes_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(COMPOSITE.replace(", leef", ""))
    with pytest.raises(Failure, match="there is no rule 'leaf' in the files, nor in force; add it"):
        await apply(Api(LEAF), read_rules([tmp_path]), prune=True, dry_run=False)


async def test_members_are_written_before_their_composite_and_deleted_after_it(tmp_path: Path) -> None:
    old = {"id": "about", "condition": "composite", "conditions": ["leaf"]}
    (tmp_path / "rules.yaml").write_text(
        "[{id: both, condition: composite, conditions: [one]}, {id: one, metric_type: m, threshold: 1}]"
    )
    api = Api(LEAF, old)
    await apply(api, read_rules([tmp_path]), prune=True, dry_run=False)
    assert api.sent == [("POST", "/rules"), ("POST", "/rules"), ("DELETE", "/rules/about"), ("DELETE", "/rules/leaf")]
    assert api.bodies == ["one", "both"]
