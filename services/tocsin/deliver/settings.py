"""What the settings of all channels have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tocsin.deliver.policy import Retry
from tocsin.deliver.templates import TemplateError, check_template
from tocsin.schemas.duration import Duration, milliseconds
from tocsin.schemas.kinds import Id

MAX_TIMEOUT_MS = 300_000
TEMPLATES: Final = ("template", "subject")  # fields, of those channels that have them


class RetrySettings(BaseModel):
    """How often, and for how long, a notification is tried again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: int = Field(default=30, ge=1, le=1_000, description="attempts in all; 1 means no retry")
    initial: Duration = Field(default=milliseconds("1s"), description="the first wait at most; each next one doubles")
    max: Duration = Field(default=milliseconds("5m"), description="the longest wait")
    within: Duration = Field(default=milliseconds("1h"), description="give up this long after the first attempt")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 < self.initial <= self.max:
            raise ValueError("initial must be longer than zero and at most max; try initial: 1s, max: 5m")
        return self

    @property
    def policy(self) -> Retry:
        """The same for the retry schedule."""
        return Retry(self.attempts, self.initial, self.max, self.within)


class RateLimit(BaseModel):
    """At most `count` messages in any stretch of length `per`. What is over waits, and is never dropped: when the next
    may go, all that wait go with it, as one digest. Where each means something to a machine, each waits its turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=1, le=100_000)
    per: Duration = milliseconds("1m")

    @field_validator("per")
    @classmethod
    def _bounded(cls, value: int) -> int:
        if not 0 < value <= 86_400_000:
            raise ValueError("must be between 1ms and 1d; try 1m")
        return value


def _checked_template(value: str, info: ValidationInfo) -> str:
    if not (info.context or {}).get("stored"):
        check_template(value)
    return value


Template = Annotated[str, AfterValidator(_checked_template)]
"""A template that is checked, but for what was stored: a message is better without it than not sent."""


class ChannelSettings(BaseModel):
    """What each channel has. `template` (Jinja) replaces the first lines of the message's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    # Strict, since the router reads them from the stored configuration as they were written.
    enabled: StrictBool = True
    timeout: Duration = Field(default=milliseconds("10s"), description="for one attempt, all of it")
    retry: RetrySettings = RetrySettings()
    rate_limit: RateLimit | None = None
    send_resolved: StrictBool = Field(default=True, description="whether the end of an alert is told too")
    fallback: Id | None = Field(default=None, description="the channel that is told when this one cannot be")
    fallback_after: Duration = Field(default=milliseconds("5m"), description="of failing, while retries go on")
    template: Template = Field(default="", max_length=8_192, description="text of the message, in Jinja syntax")

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, value: int) -> int:
        if not 0 < value <= MAX_TIMEOUT_MS:
            raise ValueError("must be longer than zero and at most 5m; try 10s")
        return value

    @property
    def timeout_s(self) -> float:
        """The timeout in seconds."""
        return self.timeout / 1_000


def template_problems(settings: ChannelSettings) -> Iterator[tuple[str, str]]:
    """The fields of what was stored whose templates would be refused today, and why."""
    for name in TEMPLATES:
        try:
            check_template(getattr(settings, name, None) or "")
        except TemplateError as error:
            yield name, str(error)
