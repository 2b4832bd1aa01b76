"""Correlation rules: which alerts are one incident."""

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.kinds import Id, LabelName
from tocsin.schemas.problems import Problem, Wrong
from tocsin.schemas.rule import Matchers

_WITHIN: Final = milliseconds("10m")


class Correlation(BaseModel):
    """Alerts that match, have all labels of `by`, and the same values of them, are one incident while one of them is
    active, and those that fire `within` a time after that too. `along` names the label of declared dependencies: what
    needs each other, directly or not, belongs together.

    It goes before the routes, and takes its alerts from them unless it says `continue`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
        serialize_by_alias=True,
        validate_default=True,
    )

    name: Id
    match: Matchers = ()
    by: tuple[LabelName, ...] = Field(default=(), max_length=16, description="labels with the same values")
    along: LabelName | None = Field(default=None, description="the label of a graph under dependencies")
    within: Duration = Field(default=_WITHIN, description="how long after its last alert an incident goes on")
    channels: tuple[Id, ...] = Field(min_length=1, max_length=64, description="channel ids or types")
    group_wait: Duration | None = Field(default=None, description="before the first notification; 30s")
    group_interval: Duration | None = Field(default=None, description="between notifications; 5m")
    repeat_interval: Duration | None = Field(default=None, description="before what has not changed is said again; 4h")
    continues: bool = Field(default=False, alias="continue", description="look at what follows too")

    @property
    def names(self) -> frozenset[str]:
        """The labels that an alert must have."""
        return frozenset((*self.by, *((self.along,) if self.along else ())))

    @model_validator(mode="after")
    def _sane(self) -> Self:
        problems: list[Problem] = [
            ((name,), "must be longer than zero; leave it out for the default")
            for name in ("group_interval", "repeat_interval")
            if getattr(self, name) == 0
        ]
        if not self.by and self.along is None:
            problems.append((("by",), "is missing: all alerts would be one incident; name labels, or along"))
        if problems:
            raise Wrong(*problems)
        return self
