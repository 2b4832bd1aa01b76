"""Escalation policies: who is told, step by step, until somebody answers.

People, schedules and policies lie on one topic, so that what a policy names is always read before it: policies under
their ids, the others behind marks that no id can hold.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.interval import TimeSpan
from tocsin.schemas.kinds import Id, Severity
from tocsin.schemas.oncall import Person, Schedule, by_channel
from tocsin.schemas.part import Part
from tocsin.schemas.problems import Wrong

PERSON_MARK: Final = "person/"
SCHEDULE_MARK: Final = "schedule/"
MARKS: Final = {"people": PERSON_MARK, "schedules": SCHEDULE_MARK, "escalations": ""}
"""Before an id in the key of a record, by kind."""
_USUAL_WAIT: Final = milliseconds("5m")
_TARGETS: Final = ("channel", "schedule", "person")


class Target(Part):
    """Whom a step tells: a channel (or all of a type), whoever is on call by a schedule, or a person."""

    channel: Id | None = None
    schedule: Id | None = None
    person: Id | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len([name for name in _TARGETS if getattr(self, name) is not None]) != 1:
            raise Wrong(((), "must name one of channel, schedule and person; such as {schedule: primary}"))
        return self

    def written(self) -> str | dict[str, str]:
        """As users write it: a channel by its name alone."""
        if self.channel is not None:
            return self.channel
        return {name: getattr(self, name) for name in _TARGETS if getattr(self, name) is not None}


TargetField = Annotated[
    Target, BeforeValidator(by_channel, json_schema_input_type=Target | str), PlainSerializer(Target.written)
]


class Step(Part):
    """Whom to tell, so long after the step before it, and when this step counts at all."""

    wait: Duration | None = Field(
        default=None, description="how long to wait before it; 0s for the first step, else 5m"
    )
    notify: tuple[TargetField, ...] = Field(min_length=1, max_length=32)
    min_severity: Severity | None = Field(default=None, description="only for alerts at least so bad")
    hours: tuple[TimeSpan, ...] = Field(default=(), max_length=64, description="only then, such as office hours")


class EscalationPolicy(Part):
    """Steps, gone through in order, `repeat` times more, until somebody acknowledges the alert or it is over."""

    id: Id
    name: str = Field(default="", max_length=256)
    description: str = Field(default="", max_length=4_096)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=32)
    repeat: int = Field(default=0, ge=0, le=100, description="how often the steps are gone through again")
    pause: Duration = Field(default=_USUAL_WAIT, description="after the last step, before they are, or before the end")
    at_end: Literal["keep", "resolve"] = Field(
        default="keep", description="what becomes of an alert that nobody answered: it stays, or is resolved"
    )
    next_policy: Id | None = Field(default=None, description="the policy to go on with at the end")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.next_policy == self.id:
            raise Wrong((("next_policy",), "is the policy itself; remove it, and set repeat"))
        if self.next_policy is not None and self.at_end != "keep":
            raise Wrong((("next_policy",), "does not go with at_end: resolve; remove one"))
        if self.pause < milliseconds("1s") and (self.repeat or self.next_policy):
            raise Wrong((("pause",), "must be at least 1s where steps follow; try 5m"))
        return self

    def wait_ms(self, place: int) -> int:
        """How long to wait before a step, counted from 0; before the end, and before a new round, the pause."""
        if place >= len(self.steps):
            return self.pause
        given = self.steps[place].wait
        if given is not None:
            return given
        return 0 if place == 0 else _USUAL_WAIT

    def document(self) -> dict[str, Any]:
        """As users write it."""
        return self.model_dump(mode="json")


EscalationDocument = EscalationPolicy | Schedule | Person
KINDS: Final[dict[str, type[EscalationPolicy] | type[Schedule] | type[Person]]] = {
    "people": Person,
    "schedules": Schedule,
    "escalations": EscalationPolicy,
}
"""What lies on the topic, by kind; each names only what stands before it."""


def key_of(document: EscalationDocument) -> str:
    """The key of its record."""
    kind = next(kind for kind, model in KINDS.items() if isinstance(document, model))
    return MARKS[kind] + document.id


def kind_of(key: str) -> tuple[str, str]:
    """The kind and the id behind a record's key."""
    for kind, mark in MARKS.items():
        if mark and key.startswith(mark):
            return kind, key.removeprefix(mark)
    return "escalations", key
