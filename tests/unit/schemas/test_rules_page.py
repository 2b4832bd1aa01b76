"""Every rule that the page about rules shows is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tocsin import documents
from tocsin.schemas.rule import Rule

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_is_accepted(block: str) -> None:
    value: Any = documents.parse(block.encode(), "rules.md").value
    for body in value if isinstance(value, list) else [value]:
        assert Rule.model_validate(body).id == body["id"]
