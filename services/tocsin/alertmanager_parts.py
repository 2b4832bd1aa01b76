"""What stands in an Alertmanager configuration, held to its form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Part = Mapping[str, Any]


class NotAlertmanager(ValueError):
    """The file is not what Alertmanager reads; the text says where and why."""


def listed(part: Part, name: str, path: str = "") -> list[Any]:
    """What stands there, nothing being an empty list. Raises NotAlertmanager."""
    value = part.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotAlertmanager(f"{path}{name}: must be a list")
    return value


def parts(part: Part, name: str, path: str = "") -> list[Part]:
    """As `listed`, of mappings."""
    found = listed(part, name, path)
    for place, one in enumerate(found):
        if not isinstance(one, Mapping):
            raise NotAlertmanager(f"{path}{name}.{place}: must be a mapping of names to values")
    return found


def mapping(part: Part, name: str, path: str = "") -> Part:
    """As `listed`, of one mapping."""
    value = part.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise NotAlertmanager(f"{path}{name}: must be a mapping of names to values")
    return value or {}
