"""What the parts of documents have in common: other fields than these are mistakes, and nothing changes."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a document that users write."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, validate_default=True)
