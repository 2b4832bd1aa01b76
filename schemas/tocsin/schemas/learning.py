"""What rules that learn ask for: how the ordinary behaviour of series is learnt, and what differs too much from it."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.interval import Instant, ZoneName

Seasonality = Literal["auto", "none", "day", "week"]
Sensitivity = Literal["low", "medium", "high"]
DetectorName = Literal["ensemble", "change_point", "extremes", "holt_winters", "neighbours"]
MEASURES: Final[dict[DetectorName, int]] = {
    "ensemble": 6, "change_point": 1, "extremes": 1, "holt_winters": 1, "neighbours": 1,
}  # fmt: skip
_LEAST_MS: Final = 60_000
_RARE_MS: Final = {"high": milliseconds("3d"), "medium": milliseconds("10d"), "low": milliseconds("90d")}
_LEARNT: Final = ("seasonality", "time_zone", "memory", "learn_anomalies", "relearn_after", "learn_from", "detector")


class Learning(BaseModel):
    """What `anomaly` and `baseline` have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    direction: Literal["both", "above", "below"] = Field(default="both", description="on which side values are wrong")
    min_deviation: float = Field(default=0.0, ge=0, description="least distance from the expected value, in its unit")
    min_deviation_percent: float = Field(default=0.0, ge=0, description="least distance, in percent of it")
    warm_up: Duration = Field(default=milliseconds("0s"), description="how long a series is only watched")
    seasonality: Seasonality = Field(default="auto", description="found in the data, or known to be none, day or week")
    time_zone: ZoneName = Field(default="UTC", description="where days begin, for the season")
    memory: Duration = Field(default=milliseconds("1d"), description="within which time the expected level follows")
    learn_anomalies: bool = Field(default=False, description="whether values are learnt while they are wrong")
    relearn_after: Duration = Field(default=milliseconds("12h"), description="then what was wrong is the new normal")
    learn_from: Instant | None = Field(default=None, description="samples before this time are not looked at")

    @field_validator("memory", "relearn_after")
    @classmethod
    def _some(cls, value: int) -> int:
        if value < _LEAST_MS:
            raise ValueError("must be at least 1m; try 12h")
        return value

    @property
    def learnt_by(self) -> str:
        """A text that is equal for settings by which the same is learnt."""
        return self.model_dump_json(include=set(_LEARNT))


class Anomaly(Learning):
    """How strange is too strange: what comes less often than once in so long, as `sensitivity` names it or `rarer_than`
    says, and by how many measures at least (`votes`).

    Its detector itself leaves out what is strange, so `learn_anomalies` is for those who want it to stand still.
    """

    detector: DetectorName = Field(default="ensemble", description="what finds it strange: all measures, or one alone")
    learn_anomalies: bool = Field(default=True, description="false: while values are strange nothing is learnt at all")
    sensitivity: Sensitivity = "medium"
    rarer_than: Duration | None = Field(default=None, description="what comes once in so long is ordinary, such as 30d")
    votes: int = Field(default=1, ge=1, le=6, description="how many measures at least must find it strange")

    @field_validator("rarer_than")
    @classmethod
    def _rare(cls, value: int | None) -> int | None:
        if value == 0:
            raise ValueError("must be more than 0s; try 30d, or remove it to go by sensitivity")
        return value

    @field_validator("votes")
    @classmethod
    def _votes(cls, value: int, info: ValidationInfo) -> int:
        detector = info.data.get("detector")
        if detector and value > MEASURES[detector]:
            raise ValueError(f"{detector} has one measure; remove votes, or ask for detector: ensemble")
        return value

    @property
    def most_votes(self) -> int:
        """How many measures its detector has."""
        return MEASURES[self.detector]

    @property
    def rare_ms(self) -> int:
        """What comes less often than once in so long is strange."""
        return self.rarer_than or _RARE_MS[self.sensitivity]


class Baseline(Learning):
    """How a deviation is written: in `scales` (about a standard deviation), in percent, or in the metric's unit.

    `width` is how far `threshold: auto` stands from the expected value, in scales.
    """

    unit: Literal["scales", "percent", "absolute"] = "scales"
    width: float = Field(default=4.0, gt=0, le=1_000, description="of threshold: auto, in scales")
