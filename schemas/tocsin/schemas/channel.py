"""A channel: where notifications go. What `config` holds depends on its type; the delivery service checks it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tocsin.schemas.rule import Id

# Entries may be older than the rule that these are true or false and nothing else.
_NO = frozenset({"false", "no", "off", "n", "f", "0"})

# Their receivers keep something open until an alert is over, and show who takes care of it; so does Slack, where a bot
# edits its message.
_KEEPING = frozenset({"pagerduty", "opsgenie"})


class Channel(BaseModel):
    """A destination, as users write it and as it lies on `channels`, where credentials in `config` are sealed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Id
    type: str = Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")
    name: str = Field(default="", max_length=256)
    # Out of every text form, error messages too: it holds credentials.
    config: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def enabled(self) -> bool:
        """Whether it takes part in routing."""
        return self._is_on("enabled")

    @property
    def sends_resolved(self) -> bool:
        """Whether it is told when an alert is over."""
        return self._is_on("send_resolved")

    @property
    def hears_of_care(self) -> bool:
        """Whether it is told of acknowledgements too, by whom it heard that an alert fires."""
        return self.type in _KEEPING or (self.type == "slack" and bool(self.config.get("bot_token")))

    def _is_on(self, name: str) -> bool:
        return str(self.config.get(name, True)).strip().lower() not in _NO
