"""A channel: where notifications go. What `config` holds depends on its type; the delivery service checks it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tocsin.schemas.rule import Id


class Channel(BaseModel):
    """A destination, as users write it and as it lies on `channels`, where credentials in `config` are sealed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    type: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    name: str = Field(default="", max_length=256)
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        """Whether it takes part in routing."""
        return bool(self.config.get("enabled", True))

    @property
    def sends_resolved(self) -> bool:
        """Whether it is told when an alert is over."""
        return bool(self.config.get("send_resolved", True))
