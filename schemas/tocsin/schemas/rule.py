"""An alert rule, as users write it in YAML or JSON."""

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.kinds import (
    Absence,
    BurnRate,
    Change,
    Combine,
    Flapping,
    Id,
    LabelName,
    Level,
    MemberField,
    NoData,
    Ratio,
    Severity,
    Trend,
)
from tocsin.schemas.learning import PEERS, WELL_WITHIN, Anomaly, Baseline, Learning
from tocsin.schemas.levels import crossed, is_farther, level_problems, recovery_problems
from tocsin.schemas.matcher import Matcher, matchers_from
from tocsin.schemas.problems import Path, Problem, Wrong
from tocsin.schemas.rule_checks import KIND_CHECKS
from tocsin.schemas.window import Window

__all__ = ["Id", "Level", "Rule", "Severity", "Window", "operator_symbol"]

_SYMBOLS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "==": "eq", "!=": "neq"}
_WORDS = {word: symbol for symbol, word in _SYMBOLS.items()}
_MEANT: Final = {
    "=>": ">=", "=<": "<=", "=": "==", "<>": "!=", "ge": "gte", "le": "lte", "ne": "neq", "equal": "eq", "equals": "eq",
    "greater": "gt", "more": "gt", "above": "gt", "over": "gt", "less": "lt", "below": "lt", "under": "lt",
}  # fmt: skip
Template = Annotated[str, Field(max_length=8_192)]

ConditionKind = Literal[
    "threshold", "range", "change", "absence", "anomaly", "baseline", "trend", "ratio", "burn_rate", "composite"
]
Operator = Annotated[
    Literal["gt", "gte", "lt", "lte", "eq", "neq"],
    BeforeValidator(lambda value: _operator(value) if isinstance(value, str) else value),
]
AGGREGATIONS: Final = (
    "avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate", "increase", "delta",
)  # fmt: skip
_QUANTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?|100)", re.ASCII)
# Kinds whose value is compared with a threshold, and kinds that look at one series at a time.
COMPARED: Final = ("threshold", "change", "baseline", "trend", "ratio")
_GROUPED: Final = ("ratio", "burn_rate", "composite")
_GROUP_LATENESS_MS: Final = 5_000
_DEFAULTS: Final[dict[str, type[BaseModel]]] = {
    "change": Change, "absence": Absence, "anomaly": Anomaly, "baseline": Baseline, "trend": Trend,
}  # fmt: skip
_WORKED_OUT: Final = ("steps", "judged_as", "settings", "encoded")
Auto = Literal["auto"]
ThresholdField = Annotated[
    Annotated[Auto, Tag("tagged-auto")] | Annotated[float, Tag("tagged-number")],
    Discriminator(lambda value: "tagged-auto" if value == "auto" else "tagged-number"),
]


def _operator(value: str) -> str:
    word = _SYMBOLS.get(value, value)
    if word in _WORDS:
        return word
    meant = _MEANT.get(value.lower().removesuffix("_than"))
    near = f"; did you mean {meant!r}?" if meant else ""
    raise ValueError(f"{value!r} is not one of {', '.join(_WORDS)}, or of {' '.join(_SYMBOLS)}{near}")


def operator_symbol(operator: str) -> str:
    """`gt` as people read it: `>`."""
    return _WORDS.get(operator, operator)


def quantile_of(aggregation: str) -> float | None:
    """0.99 for `p99`; None for what is no percentile."""
    found = _QUANTILE.fullmatch(aggregation)
    return float(found[1]) / 100 if found else None


def _aggregation(value: str) -> str:
    if value in AGGREGATIONS or quantile_of(value) is not None:
        return value
    raise ValueError(f"{value!r} is not an aggregation; use one of {', '.join(AGGREGATIONS)}, or p99 and the like")


Aggregation = Annotated[str, Field(max_length=16), BeforeValidator(lambda value: _aggregation(str(value)))]


def _matchers(value: object) -> tuple[Matcher, ...]:
    if not isinstance(value, list | tuple):
        return () if value is None else matchers_from(value)
    found: list[Matcher] = []
    problems: list[Problem] = []
    for place, item in enumerate(value):
        try:
            found += matchers_from([item])
        except ValueError as error:
            problems.append(((place,), str(error)))
    if problems:
        raise Wrong(*problems)
    return tuple(found)


MOST_MATCHERS: Final = 32
Matchers = Annotated[
    tuple[Matcher, ...],
    BeforeValidator(_matchers, json_schema_input_type=list[str] | str | dict[str, str]),
    PlainSerializer(lambda found: [str(matcher) for matcher in found], return_type=list[str]),
    Field(max_length=MOST_MATCHERS),
]


class Rule(BaseModel):
    """What to watch, when it is wrong, and who is told."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, allow_inf_nan=False, validate_default=True
    )

    id: Id
    name: str = Field(default="", max_length=256)
    description: str = Field(default="", max_length=4_096)
    severity: Severity = Severity.WARNING
    category: str = Field(default="", max_length=128)
    enabled: bool = True
    condition: ConditionKind = "threshold"
    metric_type: str = Field(default="", max_length=1_024, description="the metric's name")
    operator: Operator = "gt"
    levels: tuple[Level, ...] = Field(default=(), max_length=8, description="several severities, from mild to severe")
    threshold: ThresholdField | None = Field(default=None, description="a number; or auto, which follows the baseline")
    recovery_threshold: float | None = Field(default=None, description="the alert ends only beyond this value")
    lower: float | None = Field(default=None, description="a range's lower end")
    upper: float | None = Field(default=None, description="a range's upper end")
    inside: bool = Field(default=False, description="a range alerts inside its ends instead of outside")
    change: Change | None = None
    absence: Absence | None = None
    anomaly: Anomaly | None = None
    baseline: Baseline | None = None
    trend: Trend | None = None
    ratio: Ratio | None = None
    burn_rate: BurnRate | None = None
    conditions: tuple[MemberField, ...] = Field(default=(), max_length=64, description="a composite's rules")
    combine: Combine = "all"
    duration: Duration = Field(default=milliseconds("0s"), description="how long the condition must hold (event time)")
    keep_firing_for: Duration = Field(default=milliseconds("0s"), description="how long to go on after the condition")
    window: Window | None = None
    aggregation: Aggregation | None = Field(default=None, description="over the window; avg unless said")
    require_full_window: bool = Field(default=False, description="judge only whole windows")
    group_by: tuple[LabelName, ...] = Field(default=(), max_length=16, description="labels to aggregate by")
    match: Matchers = ()
    labels: dict[LabelName, Template] = Field(default_factory=dict, max_length=64)
    annotations: dict[LabelName, Template] = Field(default_factory=dict, max_length=64)
    notifications: tuple[Id, ...] = Field(default=(), max_length=64, description="channel ids or types")
    escalation_policy: Id | None = Field(default=None, description="who is told after that, until somebody answers")
    cooldown: Duration = Field(default=milliseconds("0s"), description="least time between two firings (event time)")
    flapping: Flapping | None = Field(default=None, description="when it comes and goes too often: {changes, within}")
    allowed_lateness: Duration | None = Field(
        default=None, description="how long to wait for older samples; 0s, and 5s with group_by"
    )
    keep_late: bool = Field(default=False, description="put samples that come too late on the topic `late`")
    on_no_data: NoData = Field(default="keep", description="what a series that falls silent means")
    no_data_after: Duration = Field(default=milliseconds("5m"), description="how long a series must be silent for that")
    max_series: int = Field(default=100_000, ge=1, le=10_000_000, description="most series watched in one partition")
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

    @field_validator("metric_type")
    @classmethod
    def _metric(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("condition")
        if not value and kind not in (None, "composite"):
            raise ValueError("is missing; add the metric's name")
        return value

    @field_validator("levels")
    @classmethod
    def _rising(cls, levels: tuple[Level, ...], info: ValidationInfo) -> tuple[Level, ...]:
        kind, operator = info.data.get("condition"), info.data.get("operator")
        if levels and kind not in (None, *COMPARED, "range"):
            raise ValueError(f"do not go with condition {kind}; remove them")
        problems = [problem for place, level in enumerate(levels) for problem in level_problems(kind, place, level)]
        for place, (milder, worse) in enumerate(pairwise(levels), 1):
            if worse.severity.rank <= milder.severity.rank:
                text = "must go from mild to severe, each severity once; such as warning, then critical"
                problems.append(((place, "severity"), text))
            if None not in (operator, milder.threshold, worse.threshold) and not is_farther(operator, milder, worse):
                is_ordered = operator not in ("eq", "neq")
                mend = "order the thresholds" if is_ordered else "write a rule for each"
                text = f"a worse level must be harder to reach with {operator}; {mend}"
                problems.append(((place, "threshold"), text))
        if problems:
            raise Wrong(*problems)
        return levels

    @field_validator("threshold")
    @classmethod
    def _compared(cls, value: float | Auto | None, info: ValidationInfo) -> float | Auto | None:
        kind, levels = info.data.get("condition"), info.data.get("levels")
        if kind in COMPARED and levels is not None:
            if value is None and not levels and kind != "baseline":
                raise ValueError("is missing; add it")
            if levels and value is not None:
                raise ValueError("stands in each level; remove it here")
        elif kind is not None and value is not None and kind not in COMPARED:
            raise ValueError(f"does not go with condition {kind}; remove it")
        return value

    @field_validator("upper")
    @classmethod
    def _range(cls, value: float | None, info: ValidationInfo) -> float | None:
        kind, levels, lower = info.data.get("condition"), info.data.get("levels"), info.data.get("lower")
        if kind is None or levels is None or "lower" not in info.data:
            return value
        ends = {"lower": lower, "upper": value}
        if kind != "range" or levels:
            mend = "stands in each level; remove it here" if levels else "belongs to condition range; remove it"
            problems: list[Problem] = [((name,), mend) for name, end in ends.items() if end is not None]
        else:
            problems = [((name,), "is missing; a range has two ends") for name, end in ends.items() if end is None]
            problems += crossed((), lower, value)
        if problems:
            raise Wrong(*problems, beside=True)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems: list[Problem] = []
        if self.aggregation and not self.window and self.condition not in _GROUPED:
            problems.append((("aggregation",), "needs a window; add window: {type: tumbling, size: 1m}"))
        for place, step in enumerate(self.steps):
            around: Path = ("levels", place) if self.levels else ()
            problems += recovery_problems(self.operator, step, around)
        for kind in ("change", "absence", "anomaly", "baseline", "trend", "ratio", "burn_rate"):
            if getattr(self, kind) is not None and kind not in (self.condition, self.judged_as):
                problems.append(((kind,), f"belongs to condition {kind}; remove it or set condition: {kind}"))
        problems += [(path, text) for is_wrong, path, text in KIND_CHECKS if is_wrong(self)]
        problems += self._expected_problems()
        problems += [
            (("conditions", place, "rule"), "a composite cannot be over itself; name other rules")
            for place, member in enumerate(self.conditions)
            if member.rule == self.id
        ]
        if problems:
            raise Wrong(*problems)
        return self

    def _expected_problems(self) -> Iterator[Problem]:
        """A group has no labels but those of `group_by`: one that is expected with others would never be seen."""
        expected = self.absence.expected if self.absence and self.group_by else ()
        for place, labels in enumerate(expected):
            for name in labels:
                if name not in self.group_by:
                    text = f"{name} is not in group_by, so no group has it; add it there, or take it out here"
                    yield ("absence", "expected", place, name), text

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name or self.id

    @property
    def aggregate(self) -> str:
        """The aggregation in force: a mean, or of a ratio sums; `last` where there is no window."""
        if not self.window:
            return "last"
        return self.aggregation or ("sum" if self.condition == "ratio" else "avg")

    @property
    def lateness_ms(self) -> int:
        """How long it waits for older samples. Series of a group have clocks of their own, so groups wait a little."""
        if self.allowed_lateness is not None:
            return self.allowed_lateness
        return _GROUP_LATENESS_MS if self.group_by or self.condition in _GROUPED else 0

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in _WORKED_OUT:
            vars(copied).pop(name, None)  # a copy may say something else
        return copied

    @cached_property
    def steps(self) -> tuple[Level, ...]:
        """The levels from mild to severe; of a rule without any its one severity.

        A burn rate's are the severities of its windows, and their thresholds the places in that order.
        """
        if self.burn_rate:
            severities = sorted({burn.severity for burn in self.burn_rate.windows}, key=lambda one: one.rank)
            return tuple(Level(severity=one, threshold=place + 1) for place, one in enumerate(severities))
        return self.levels or (
            Level(
                severity=self.severity,
                threshold=self._limit,
                lower=self.lower,
                upper=self.upper,
                recovery_threshold=self._recovery,
            ),
        )

    @property
    def _limit(self) -> float | None:
        """The threshold as a number; of peers, and of a baseline without one, the width."""
        if self.judged_as == PEERS:
            assert isinstance(self.settings, Anomaly)
            return self.settings.width
        if isinstance(self.settings, Baseline) and (self.threshold == "auto" or self.threshold is None):
            return -self.settings.width if self.operator in ("lt", "lte") else self.settings.width
        return None if self.threshold == "auto" else self.threshold

    @property
    def _recovery(self) -> float | None:
        """A baseline wanders, and so does how far a value is from it: such an alert ends well within the threshold."""
        limit, wanders = self._limit, isinstance(self.settings, Baseline) or self.judged_as == PEERS
        if self.recovery_threshold is None and limit is not None and wanders:
            return WELL_WITHIN * limit if (limit > 0) is (self.operator in ("gt", "gte")) else None
        return self.recovery_threshold

    @cached_property
    def judged_as(self) -> str:
        """The kind by which it is judged: a threshold that follows the baseline is one, and an anomaly of peers is told
        as a distance."""
        if self.condition == "anomaly" and self.anomaly is not None and self.anomaly.is_of_peers:
            return PEERS
        return "baseline" if self.condition == "threshold" and self.threshold == "auto" else self.condition

    @property
    def learns(self) -> bool:
        """Whether it learns what is ordinary for a series."""
        return isinstance(self.settings, Learning)

    @cached_property
    def settings(self) -> BaseModel | None:
        """What its kind asks for beyond a threshold, defaults filled in."""
        kind = "anomaly" if self.judged_as == PEERS else self.judged_as
        given: BaseModel | None = getattr(self, kind, None)
        default = _DEFAULTS.get(kind)
        found = given if given is not None or default is None else default()
        if isinstance(found, Baseline) and self.threshold == "auto":
            return found.model_copy(update={"direction": "above"})  # signed: the operator says what is wrong
        return found

    def hold_ms(self, step: int) -> int:
        """How long one level must hold before it counts; silence is waited for by its own settings."""
        if self.condition == "absence":
            return 0
        own = self.levels[step].duration if self.levels else None
        return self.duration if own is None else own

    @cached_property
    def encoded(self) -> bytes:
        """As it lies on `rules`. Worked out once: plans are saved whole when one of their rules changes."""
        return orjson.dumps(self.document())

    def document(self) -> dict[str, Any]:
        """The rule as JSON-ready values, defaults included."""
        return self.model_dump(mode="json")
