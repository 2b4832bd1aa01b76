"""The shape of a file of rule tests."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tocsin.engine.testing.notation import MAX_VALUES, parse_series, parse_values
from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.kinds import Id, Severity
from tocsin.schemas.problems import Wrong

State = Literal["ok", "pending", "firing", "acknowledged", "resolved"]
AlertStatus = Literal["pending", "firing", "acknowledged", "resolved"]
Told = Literal["firing", "changed", "unacknowledged", "reminded", "escalated", "resolved"]
Flaps = Literal["", "started", "ongoing", "worse", "stopped"]
Number = float | tuple[float, float]


def _spelled(value: Any) -> Any:
    """Values are a text; a single number and a list are taken too."""
    if isinstance(value, list):
        return " ".join("_" if item is None else str(item) for item in value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _number(value: Any) -> Any:
    ends = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise ValueError(f"{value!r} is neither a number nor a range; write 12.5, or [12, 13] for what lies between")
    return value


def _act(value: Any) -> Any:
    short = {"ack": "acknowledge", "unack": "unacknowledge"}
    return short.get(value, value) if isinstance(value, str) else value


Figure = Annotated[Number, BeforeValidator(_number)]
Labels = dict[str, str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Input(_Part):
    """A series: one value every `interval`, the first at 0m; each is published `delay` after its time."""

    series: str
    values: Annotated[str, BeforeValidator(_spelled)]
    interval: Duration | None = None
    delay: Duration = milliseconds("0s")
    unit: str = ""

    @field_validator("series")
    @classmethod
    def _a_series(cls, value: str) -> str:
        parse_series(value)
        return value

    @field_validator("values")
    @classmethod
    def _some_values(cls, value: str) -> str:
        parse_values(value)
        return value

    @field_validator("interval")
    @classmethod
    def _forward(cls, value: int | None) -> int | None:
        return None if value is None else _positive(value)


class Act(_Part):
    """What a person does at a time with every alert of a rule, or those with some labels; until a time, if that is
    said, and with reminders meanwhile."""

    at: Duration
    do: Annotated[Literal["acknowledge", "snooze", "unacknowledge", "resolve"], BeforeValidator(_act)]
    rule: Id
    labels: Labels = {}
    by: str = "somebody"
    comment: str = ""
    until: Duration | None = None
    remind_every: Duration = milliseconds("0s")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.do not in ("acknowledge", "snooze") and (self.until is not None or self.remind_every):
            raise Wrong((("until",), f"goes with acknowledge and snooze, not with {self.do}; remove it"))
        if self.do == "snooze" and self.until is None:
            raise Wrong((("until",), "is missing; say when the snooze is over"))
        if self.until is not None and self.until <= self.at:
            raise Wrong((("until",), "is not after at; give a later time"))
        return self


class ExpectedAlert(_Part):
    """One alert; what is not given is not compared. Times count from the test's beginning."""

    rule: Id
    status: AlertStatus | None = None
    labels: Labels | None = None
    severity: Severity | None = None
    value: Figure | None = None
    threshold: float | None = None
    annotations: Labels | None = None
    starts_at: Duration | None = None
    fired_at: Duration | None = None
    reason: str | None = None
    unit: str | None = None
    flapping: Flaps | None = None


class ExpectedNotification(_Part):
    """One notification; what is not given is not compared."""

    channel: Id
    type: Told
    rule: Id | None = None
    labels: Labels | None = None
    severity: Severity | None = None
    value: Figure | None = None
    flapping: Flaps | None = None
    at: Duration | None = Field(default=None, description="when it was sent")
    reason: str | None = Field(default=None, description="of a group: first, new, worse, ...")
    group: Labels | None = Field(default=None, description="the labels of a group")
    alerts: int | None = Field(default=None, description="how many alerts a group has")


class Expectation(_Part):
    """What must be so at a time, after all that was published up to it and all that was done at it."""

    at: Duration
    alerts: tuple[ExpectedAlert, ...] | None = None
    states: dict[str, State] | None = None
    notifications: tuple[ExpectedNotification, ...] | None = None
    partial: bool = Field(default=False, description="there may be more, and alerts may have more labels")

    @field_validator("states")
    @classmethod
    def _selectors(cls, states: dict[str, State] | None) -> dict[str, State] | None:
        for selector in states or ():
            try:
                parse_series(selector)
            except ValueError as error:
                raise Wrong(((selector,), str(error))) from None
        return states

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.alerts is None and self.states is None and self.notifications is None:
            raise ValueError("expects nothing; add alerts, states or notifications")
        return self


class RuleTest(_Part):
    """One test: all rules of the file on some series."""

    name: str = Field(min_length=1, max_length=256)
    interval: Duration | None = None
    input: tuple[Input, ...] = ()
    commands: tuple[Act, ...] = ()
    expect: tuple[Expectation, ...] = Field(min_length=1)

    @field_validator("interval")
    @classmethod
    def _forward(cls, value: int | None) -> int | None:
        return None if value is None else _positive(value)

    @field_validator("input")
    @classmethod
    def _bounded(cls, value: tuple[Input, ...]) -> tuple[Input, ...]:
        if sum(len(parse_values(series.values)) for series in value) > MAX_VALUES:
            raise ValueError(f"holds more than {MAX_VALUES} values; write fewer")
        return value


class Suite(_Part):
    """A file: rules of its own or of other files, and tests of them. Rules, channels, routes, people, schedules and
    policies are read by others."""

    rules: list[Any] = []
    rule_files: tuple[str, ...] = ()
    channels: list[Any] | None = None
    routing: dict[str, Any] | None = None
    routing_file: str = ""
    people: list[Any] = []
    schedules: list[Any] = []
    escalations: list[Any] = []
    escalation_files: tuple[str, ...] = ()
    interval: Duration = milliseconds("1m")
    tests: tuple[RuleTest, ...] = Field(min_length=1)

    @field_validator("interval")
    @classmethod
    def _forward(cls, value: int) -> int:
        return _positive(value)

    @model_validator(mode="after")
    def _of_rules(self) -> Self:
        if not self.rules and not self.rule_files:
            raise Wrong((("rules",), "are missing; add rules or rule_files"))
        if self.routing is not None and self.routing_file:
            raise Wrong((("routing_file",), "does not go with routing; remove one"))
        return self


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError("must be longer than zero; try 1m")
    return value
