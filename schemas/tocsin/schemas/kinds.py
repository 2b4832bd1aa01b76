"""What the kinds of rules ask for beyond a threshold: one model for each kind that needs more."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.problems import ID_PATTERN, LABEL_PATTERN, Wrong

Id = Annotated[str, Field(pattern=ID_PATTERN)]
LabelName = Annotated[str, Field(pattern=LABEL_PATTERN)]
MetricName = Annotated[str, Field(min_length=1, max_length=1_024)]
NoData = Literal["ok", "keep", "alert"]


class Flapping(BaseModel):
    """When an alert that comes and goes, or changes its severity, counts as one: at so many changes within a time,
    until there was none for as long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    changes: int = Field(default=5, ge=3, le=100)
    within: Duration = milliseconds("10m")

    @field_validator("within")
    @classmethod
    def _bounded(cls, value: int) -> int:
        if not 1_000 <= value <= 86_400_000:
            raise ValueError("must be from 1s to 1d; try 10m")
        return value


class Severity(StrEnum):
    """How bad it is, worst first."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return -list(Severity).index(self)

    @classmethod
    def of(cls, text: str) -> "Severity":
        """What a text names; a word of its own counts as mild."""
        return cls(text) if text in _SEVERITIES else cls.INFO

    def reaches(self, least: "Severity | None") -> bool:
        """Whether it is at least so bad; None is no bound."""
        return least is None or least.rank <= self.rank


_SEVERITIES: Final = frozenset(Severity)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Level(_Settings):
    """One severity of a rule that has several: what it takes to reach it, and to leave it."""

    severity: Severity
    threshold: float | None = None
    lower: float | None = None
    upper: float | None = None
    recovery_threshold: float | None = None
    duration: Duration | None = Field(default=None, description="how long it must hold; the rule's unless said")


class Change(_Settings):
    """Against which earlier value, and how the difference is written."""

    against: Duration = Field(default=milliseconds("5m"), description="how long ago: 5m, 1d (yesterday), 1w")
    unit: Literal["percent", "absolute"] = "percent"

    @field_validator("against")
    @classmethod
    def _some(cls, value: int) -> int:
        if value <= 0:
            raise ValueError("must be longer than zero; try 1h, 1d or 1w")
        return value


class Absence(_Settings):
    """When a series counts as gone: after a fixed time, or after `missed` of its own usual gaps."""

    after: Duration | None = Field(default=None, description="a fixed time of silence; learnt unless said")
    missed: float = Field(default=5.0, ge=2, le=1_000, description="how many of its usual gaps a series may miss")
    expected: tuple[dict[LabelName, str], ...] = Field(
        default=(), max_length=1_000, description="label sets that must be there, seen or not"
    )

    @field_validator("after")
    @classmethod
    def _some(cls, value: int | None) -> int | None:
        if value is not None and value < 1_000:
            raise ValueError("must be at least 1s; try 5m")
        return value


class Trend(_Settings):
    """How far to look ahead, from how much past."""

    horizon: Duration = Field(default=milliseconds("4h"), description="how far ahead the threshold must not be crossed")
    lookback: Duration = Field(default=milliseconds("1h"), description="how much past the line is laid through")
    season: Duration | None = Field(default=None, description="a period that repeats, such as 1d")
    of: Literal["values", "baseline"] = Field(default="values", description="what the line is laid through")

    @field_validator("horizon", "lookback")
    @classmethod
    def _some(cls, value: int) -> int:
        if value < 1_000:
            raise ValueError("must be at least 1s; try 1h")
        return value

    @model_validator(mode="after")
    def _longer(self) -> Self:
        if self.season is not None and self.season < self.lookback:
            raise Wrong((("season",), "must be at least as long as lookback; try season: 1d, lookback: 1h"))
        return self


class Ratio(_Settings):
    """The metric to divide by."""

    per: MetricName


class BurnWindow(_Settings):
    """Two windows that must both burn the error budget faster than `factor` times what the objective allows."""

    long: Duration
    short: Duration
    factor: float = Field(gt=0)
    severity: Severity = Severity.CRITICAL

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if not 0 < self.short < self.long or self.long % self.short:
            raise Wrong((("long",), "must be a multiple of short; try long: 1h, short: 5m"))
        return self


class BurnRate(_Settings):
    """An objective, and how fast its error budget may burn; `metric_type` counts what went wrong, `total` everything.

    The default windows are those of Google's SRE workbook, chapter 5.
    """

    total: MetricName
    objective: float = Field(default=99.9, gt=0, lt=100, description="percent of good events")
    counters: bool = Field(default=True, description="the metrics only grow; false where each sample is a count itself")
    windows: tuple[BurnWindow, ...] = Field(
        default=(
            BurnWindow(long=milliseconds("3d"), short=milliseconds("6h"), factor=1, severity=Severity.WARNING),
            BurnWindow(long=milliseconds("6h"), short=milliseconds("30m"), factor=6),
            BurnWindow(long=milliseconds("1h"), short=milliseconds("5m"), factor=14.4),
        ),
        min_length=1,
        max_length=8,
    )


class Member(_Settings):
    """One rule of a composite: whether it must be firing, and what counts while it has no data."""

    rule: Id
    negate: bool = False
    on_no_data: NoData = "ok"


def _member(value: Any) -> Any:
    """`high_cpu` and `not high_cpu` are short for members."""
    if not isinstance(value, str):
        return value
    negate = value.startswith("not ")
    return {"rule": value.removeprefix("not ").strip(), "negate": negate}


MemberField = Annotated[Member, BeforeValidator(_member, json_schema_input_type=Member | str)]


def _combine(value: Any) -> Any:
    if value in ("all", "any") or (type(value) is int and 1 <= value <= 64):
        return value
    raise ValueError(f"{value!r} is not all, any or a number from 1 to 64; write all, any, or how many must hold")


Combine = Annotated[
    Literal["all", "any"] | Annotated[int, Field(ge=1, le=64, description="at least so many")],
    BeforeValidator(_combine, json_schema_input_type=Literal["all", "any"] | Annotated[int, Field(ge=1, le=64)]),
]
