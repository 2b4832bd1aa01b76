"""An alert rule, as users write it in YAML or JSON."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.matcher import Matcher, matchers_from

_SYMBOLS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "==": "eq", "!=": "neq"}
_WORDS = {word: symbol for symbol, word in _SYMBOLS.items()}
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")]
Template = Annotated[str, Field(max_length=8_192)]


class Severity(StrEnum):
    """How bad it is, worst first."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


Operator = Annotated[
    Literal["gt", "gte", "lt", "lte", "eq", "neq"],
    BeforeValidator(lambda value: _SYMBOLS.get(value, value) if isinstance(value, str) else value),
]
Aggregation = Literal["avg", "min", "max", "sum", "count", "last"]


def operator_symbol(operator: str) -> str:
    """`gt` as people read it: `>`."""
    return _WORDS.get(operator, operator)


class Window(BaseModel):
    """A stretch of event time over which samples are aggregated; `step` makes it hop."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["tumbling", "hopping"] = "tumbling"
    size: Duration = Field(description="length of the window, such as 1m")
    step: Duration | None = Field(default=None, description="how far a hopping window moves each time")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size <= 0:
            raise ValueError("size must be longer than zero; try 1m")
        if self.type == "tumbling":
            if self.step not in (None, self.size):
                raise ValueError("step belongs to a hopping window; leave it out or set type: hopping")
            return self
        if not self.step:
            raise ValueError("a hopping window needs a step, such as 10s")
        if self.size % self.step or self.size // self.step > 1_024:
            raise ValueError("size must be a multiple of step, at most 1024 times; try size: 1m, step: 10s")
        return self

    @property
    def hop_ms(self) -> int:
        """How far the window moves, in milliseconds."""
        return self.step or self.size


def _matchers(value: object) -> tuple[Matcher, ...]:
    return () if value is None else matchers_from(value)


Matchers = Annotated[
    tuple[Matcher, ...],
    BeforeValidator(_matchers, json_schema_input_type=list[str] | str | dict[str, str]),
    PlainSerializer(lambda found: [str(matcher) for matcher in found], return_type=list[str]),
    Field(max_length=32),
]


class Rule(BaseModel):
    """What to watch, when it is wrong, and who is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False)

    id: Id
    name: str = Field(default="", max_length=256)
    description: str = Field(default="", max_length=4_096)
    severity: Severity = Severity.WARNING
    category: str = Field(default="", max_length=128)
    enabled: bool = True
    metric_type: str = Field(min_length=1, max_length=1_024, description="the metric's name")
    condition: Literal["threshold"] = "threshold"
    operator: Operator = "gt"
    threshold: float
    recovery_threshold: float | None = Field(default=None, description="the alert ends only beyond this value")
    duration: Duration = Field(default=milliseconds("0s"), description="how long the condition must hold (event time)")
    window: Window | None = None
    aggregation: Aggregation | None = Field(default=None, description="over the window; avg unless said")
    match: Matchers = ()
    labels: dict[LabelName, Template] = Field(default_factory=dict, max_length=64)
    annotations: dict[LabelName, Template] = Field(default_factory=dict, max_length=64)
    notifications: tuple[Id, ...] = Field(default=(), max_length=64, description="channel ids or types")
    cooldown: Duration = Field(default=milliseconds("0s"), description="least time between two firings (event time)")
    allowed_lateness: Duration = Field(default=milliseconds("0s"), description="how long to wait for older samples")
    runbook_url: str = Field(default="", max_length=2_048)

    @field_validator("metric_type", "name", "category")
    @classmethod
    def _printable(cls, value: str) -> str:
        if any(ord(character) < 32 or character == "\x7f" for character in value):
            raise ValueError("control characters are not allowed; use printable text")
        return value

    @field_validator("runbook_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("use an http:// or https:// address")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.aggregation and not self.window:
            raise ValueError("aggregation needs a window; add window: {type: tumbling, size: 1m}")
        if self.recovery_threshold is not None:
            _check_recovery(self.operator, self.threshold, self.recovery_threshold)
        return self

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name or self.id

    @property
    def aggregate(self) -> str:
        """The aggregation in force; `last` where there is no window."""
        return (self.aggregation or "avg") if self.window else "last"

    def document(self) -> dict[str, Any]:
        """The rule as JSON-ready values, defaults included."""
        return self.model_dump(mode="json")


def _check_recovery(operator: str, threshold: float, recovery: float) -> None:
    if operator in ("eq", "neq"):
        raise ValueError("recovery_threshold does not go with eq or neq; leave it out")
    if operator in ("gt", "gte") and recovery > threshold:
        raise ValueError(f"recovery_threshold {recovery:g} lies above threshold {threshold:g}; set it at or below")
    if operator in ("lt", "lte") and recovery < threshold:
        raise ValueError(f"recovery_threshold {recovery:g} lies below threshold {threshold:g}; set it at or above")
