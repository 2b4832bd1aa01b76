"""What people send when they act on an alert."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.schemas.duration import Duration
from tocsin.schemas.feedback import Verdict
from tocsin.schemas.interval import Instant
from tocsin.schemas.kinds import LabelName
from tocsin.schemas.problems import Wrong
from tocsin.schemas.rule import Id, Operator, Severity

ACTOR: Final = "admin"  # the owner of the token, where nobody says another name
DRILL: Final = "drill"
_MAX_TEXT: Final = 8_192
_MAX_TEXTS_BYTES: Final = 65_536
_LEAST_REMINDER_MS: Final = 60_000
Text = Annotated[str, Field(max_length=_MAX_TEXT)]


class Said(BaseModel):
    """What a person says when acting on an alert; `by` is who, if not the owner of the token."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    comment: str = Field(default="", max_length=4_096)
    by: str = Field(default="", max_length=256)


class Ending(Said):
    """Something that ends by itself, at a time or after a while."""

    until: Instant | None = None
    duration: Duration | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.until is not None and self.duration is not None:
            raise Wrong((("duration",), "does not go with until; remove one"))
        if self.duration == 0:
            raise Wrong((("duration",), "must be longer than zero; try 1h"))
        return self

    def end_ms(self, now_ms: int) -> int | None:
        """When it ends; None for never."""
        return self.until if self.duration is None else now_ms + self.duration


class Acknowledging(Ending):
    """Taking care, for good or for a while, with reminders or without. `false_positive` says that nothing was wrong,
    for suggestions of settings."""

    remind_every: Duration | None = None
    reason: Literal["false_positive"] | None = None

    @model_validator(mode="after")
    def _seldom(self) -> Self:
        if self.remind_every is not None and self.remind_every < _LEAST_REMINDER_MS:
            raise Wrong((("remind_every",), "is shorter than a minute; try 1h"))
        return self


class Judging(Said):
    """Whether an alert was right; of the episode that began at `starts_at`, or of the latest."""

    verdict: Verdict
    starts_at: Instant | None = None


class Snoozing(Ending):
    """Putting off; until when must be said."""

    @model_validator(mode="after")
    def _some_end(self) -> Self:
        if self.until is None and self.duration is None:
            raise Wrong((("duration",), "is missing; say for how long, such as 1h, or until when"))
        return self


class TriggerBody(Ending):
    """An alert raised by hand; a known rule gives what is not said. With an end it resolves itself, unless its rule
    says by then that it is real. Where there is no such rule, `name` says that this is meant."""

    rule_id: Id
    name: str | None = Field(default=None, max_length=256)
    severity: Severity | None = None
    category: str | None = Field(default=None, max_length=128)
    description: str | None = Field(default=None, max_length=4_096)
    labels: dict[LabelName, Text] = Field(default_factory=dict, max_length=64)
    annotations: dict[LabelName, Text] = Field(default_factory=dict, max_length=64)
    value: float | None = None
    threshold: float | None = None
    operator: Operator | None = None
    notifications: tuple[Id, ...] | None = Field(default=None, max_length=64)
    escalation_policy: Id | None = None
    drill: bool = False

    def all_labels(self) -> dict[str, str]:
        """The labels; a drill has one more, so that it is another alert than the real one, in every message too."""
        return {**self.labels, DRILL: "true"} if self.drill else dict(self.labels)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Each event of the alert carries them all, so does each notification, and a topic's messages are bounded."""
        texts = (*self.labels.items(), *self.annotations.items())
        size = sum(len(name) + len(value.encode()) for name, value in texts)
        if size > _MAX_TEXTS_BYTES:
            raise ValueError(f"labels and annotations have {size} bytes together, more than {_MAX_TEXTS_BYTES}")
        return self
