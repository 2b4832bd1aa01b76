"""Windows: the stretch of event time, or of samples, over which values are aggregated."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tocsin.schemas.duration import Duration
from tocsin.schemas.problems import Wrong

WindowType = Literal["tumbling", "hopping", "sliding", "session", "count"]
MAX_PANES = 1_024
MAX_COUNT = 10_000


class Window(BaseModel):
    """What a value is made of.

    `tumbling` windows stand side by side, `hopping` ones begin every `step`, a `sliding` one ends at every sample, a
    `session` lasts until nothing came for `gap`, and a `count` window holds `samples` samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: WindowType = "tumbling"
    size: Duration | None = Field(default=None, description="length of the window, such as 1m")
    step: Duration | None = Field(default=None, description="how far a hopping window moves each time")
    gap: Duration | None = Field(default=None, description="the silence that ends a session, such as 5m")
    samples: int | None = Field(default=None, ge=2, le=MAX_COUNT, description="how many samples a count window holds")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name in ("size", "step", "gap", "samples"):
            if getattr(self, name) is not None and name not in _FIELDS[self.type]:
                raise Wrong(((name,), f"does not belong to a {self.type} window; use {_MENDS[self.type]}"))
        if not getattr(self, _FIELDS[self.type][0]):
            raise Wrong(((_FIELDS[self.type][0],), f"is missing; a {self.type} window needs {_MENDS[self.type]}"))
        if self.type == "tumbling" and self.step not in (None, self.size):
            raise Wrong((("step",), "belongs to a hopping window; leave it out or set type: hopping"))
        if self.type == "hopping":
            if not self.step:
                raise Wrong((("step",), "is missing; a hopping window needs one, such as step: 10s"))
            if self.length_ms % self.step or self.length_ms // self.step > MAX_PANES:
                mend = f"must be a multiple of step, at most {MAX_PANES} times; try size: 1m, step: 10s"
                raise Wrong((("size",), mend))
        return self

    @property
    def length_ms(self) -> int:
        """How much event time a window covers; of a session the gap, of a count window nothing."""
        return (self.gap if self.type == "session" else self.size) or 0

    @property
    def hop_ms(self) -> int:
        """How far the window moves, in milliseconds."""
        return self.step or self.length_ms

    @property
    def key(self) -> str:
        """A text that is equal for equal windows."""
        return f"{self.type}/{self.length_ms}/{self.hop_ms}/{self.samples or 0}"


_FIELDS: dict[str, tuple[str, ...]] = {
    "tumbling": ("size", "step"),
    "hopping": ("size", "step"),
    "sliding": ("size",),
    "session": ("gap",),
    "count": ("samples",),
}
_MENDS: dict[str, str] = {
    "tumbling": "size: 1m",
    "hopping": "size: 1m and step: 10s",
    "sliding": "size: 1m",
    "session": "gap: 5m",
    "count": "samples: 100",
}
