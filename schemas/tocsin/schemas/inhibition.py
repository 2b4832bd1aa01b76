"""Inhibition: alerts that keep others quiet, by matchers or along a declared graph of dependencies."""

from typing import Final, Self

from pydantic import Field, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.kinds import LabelName
from tocsin.schemas.part import Part
from tocsin.schemas.problems import Problem, Wrong
from tocsin.schemas.rule import Matchers

_HOLD: Final = milliseconds("5s")
_HOLD_TEXT: Final = "how long a target waits, at most, until every source that fired no later is known"


class Inhibition(Part):
    """While an alert that matches `source` is active, those that match `target` and have the same values of the labels
    in `equal` are not told. A label that is missing counts as empty."""

    name: str = Field(default="", max_length=256)
    source: Matchers = Field(min_length=1)
    target: Matchers = Field(min_length=1)
    equal: tuple[LabelName, ...] = Field(default=(), max_length=32)
    hold: Duration = Field(default=_HOLD, description=_HOLD_TEXT)


class Dependencies(Part):
    """A graph over the values of one label: `needs: {checkout: [payments, stock], payments: [database]}`.

    While an alert on something that it needs, directly or not, is active and matches `source`, alerts on a thing are
    not told. Things that need each other in a circle are refused: none of them would be the root.
    """

    label: LabelName = "service"
    needs: dict[str, tuple[str, ...]] = Field(min_length=1, max_length=10_000)
    source: Matchers = Field(default=(), description="which alerts count on what is needed; all unless said")
    hold: Duration = Field(default=_HOLD, description=_HOLD_TEXT)

    @model_validator(mode="after")
    def _acyclic(self) -> Self:
        problems: list[Problem] = []
        for name in self.needs:
            if not name:
                problems.append((("needs", name), "has no name; write the value of the label"))
            elif name in self.all_needed(name):
                problems.append((("needs", name), "needs itself, directly or through others; take one out"))
        if problems:
            raise Wrong(*problems)
        return self

    def all_needed(self, name: str) -> dict[str, None]:
        """Everything that a thing needs, directly or not; the nearest first."""
        found: dict[str, None] = {}
        waiting = list(self.needs.get(name, ()))
        for one in waiting:
            if one not in found:
                found[one] = None
                waiting += self.needs.get(one, ())
        return found
