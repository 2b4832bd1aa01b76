"""What rules that learn ask for: how the ordinary behaviour of series is learnt, and what differs too much from it."""

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.interval import Instant, ZoneName
from tocsin.schemas.problems import Problem, Wrong

Seasonality = Literal["auto", "none", "day", "week"]
Sensitivity = Literal["low", "medium", "high"]
PEERS: Final = "peers"
MOST_SCALES: Final = 1_000
WELL_WITHIN: Final = 0.75  # of a threshold: where an alert ends, as what is learnt wanders
DetectorName = Literal["ensemble", "change_point", "extremes", "holt_winters", "neighbours", "peers"]
MEASURES: Final[dict[DetectorName, int]] = {
    "ensemble": 6, "change_point": 1, "extremes": 1, "holt_winters": 1, "neighbours": 1,
}  # fmt: skip
_LEAST_MS: Final = 60_000
_RARE_MS: Final = {"high": milliseconds("3d"), "medium": milliseconds("10d"), "low": milliseconds("90d")}
_LEARNT: Final = (
    "seasonality", "time_zone", "memory", "learn_anomalies", "relearn_after", "learn_from", "detector", "own_offset",
)  # fmt: skip
_SEASON: Final = "does not go with detector peers, whose members share their season; remove it"
_NOT_OF_PEERS: Final = {
    "seasonality": _SEASON,
    "time_zone": _SEASON,
    "learn_anomalies": "does not go with detector peers, which learns no value that is too far; remove it",
}
_OF_PEERS: Final = ("width", "min_members", "own_offset")


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

    @property
    def judged_by(self) -> str:
        """A text that is equal for settings by which the same is judged. Checkpoints have it for a key."""
        return self.model_dump_json()


class Anomaly(Learning):
    """How strange is too strange: what comes less often than once in so long, as `sensitivity` names it or `rarer_than`
    says, and by how many measures at least (`votes`); of members of a group how far from its peers one may be, in
    scales (`width`).

    Its detector itself leaves out what is strange, so `learn_anomalies` is for those who want it to stand still.
    """

    detector: DetectorName = Field(default="ensemble", description="what finds it strange: all measures, or one alone")
    learn_anomalies: bool = Field(default=True, description="false: while values are strange nothing is learnt at all")
    sensitivity: Sensitivity = "medium"
    rarer_than: Duration | None = Field(default=None, description="what comes once in so long is ordinary, such as 30d")
    votes: int = Field(default=1, ge=1, le=6, description="how many measures at least must find it strange")
    width: float = Field(default=5.0, gt=0, le=MOST_SCALES, description="of peers: how far is too far, in scales")
    min_members: int = Field(default=5, ge=4, le=10_000, description="of peers: a group of fewer is not judged")
    own_offset: bool = Field(default=True, description="of peers: who was always apart is held to its usual distance")

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
        if detector and value > MEASURES.get(detector, 1):
            raise ValueError(f"{detector} has one measure; remove votes, or ask for detector: ensemble")
        return value

    @model_validator(mode="after")
    def _of_peers(self) -> Self:
        problems: list[Problem] = []
        if self.is_of_peers:
            problems += [((name,), text) for name, text in _NOT_OF_PEERS.items() if self._says(name)]
        else:
            text = "belongs to detector peers; remove it, or set detector: peers and group_by"
            problems += [((name,), text) for name in _OF_PEERS if self._says(name)]
        if problems:
            raise Wrong(*problems)
        return self

    def _says(self, name: str) -> bool:
        """Whether a setting is another than by default: documents hold all of them."""
        given: Any = getattr(self, name)
        return bool(given != type(self).model_fields[name].default)

    @property
    def judged_by(self) -> str:
        """See Learning. Only of peers it names what came with them: of others it is what it was before."""
        return self.model_dump_json(exclude=None if self.is_of_peers else set(_OF_PEERS))

    @property
    def is_of_peers(self) -> bool:
        """Whether members of a group are held to each other."""
        return self.detector == PEERS

    @property
    def most_votes(self) -> int:
        """How many measures its detector has."""
        return MEASURES.get(self.detector, 1)

    @property
    def rare_ms(self) -> int:
        """What comes less often than once in so long is strange."""
        return self.rarer_than or _RARE_MS[self.sensitivity]


class Baseline(Learning):
    """How a deviation is written: in `scales` (about a standard deviation), in percent, or in the metric's unit.

    `width` is how far `threshold: auto` stands from the expected value, in scales.
    """

    unit: Literal["scales", "percent", "absolute"] = "scales"
    width: float = Field(default=4.0, gt=0, le=MOST_SCALES, description="of threshold: auto, in scales")
