"""What a planted bug is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Bug:
    """What is wrong, and how to make it so."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
