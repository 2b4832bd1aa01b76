"""Shadow mode: a candidate that runs beside a rule, and how much of the metrics it has judged."""

from typing import Annotated, Final, Self

import msgspec
from pydantic import Field

from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.labels import SHADOW
from tocsin.schemas.problems import ID_PATTERN
from tocsin.schemas.rule import Rule

KEPT_MS: Final = 30 * 86_400_000  # for how long what a candidate said can be read
_STRAGGLERS_MS: Final = 60_000
_AtMs = Annotated[int, Field(ge=0, le=MAX_MS)]


class Candidate(Rule):
    """A rule in shadow, as it lies on `rules` under `shadow/ID`, which is its id for everything that judges.

    `since_ms` to `until_ms` is the time that is compared, by event time. `run` is the offset of the record that began
    it, if that is not this one; `against` the revision of the rule that it was to replace, -1 if there was none.
    """

    id: Annotated[str, Field(pattern=ID_PATTERN.replace("^", f"^{SHADOW}"))]
    since_ms: _AtMs
    until_ms: _AtMs
    run: int = -1
    against: int = -1

    @classmethod
    def of(cls, rule: Rule, since_ms: int, until_ms: int, run: int = -1, against: int = -1) -> Self:
        """A rule for a time in shadow."""
        own = {"since_ms": since_ms, "until_ms": until_ms, "run": run, "against": against}
        return cls.model_validate({**rule.document(), "id": SHADOW + rule.id, **own})

    @property
    def rule(self) -> Rule:
        """The rule as users wrote it."""
        return Rule.model_validate(
            {
                **{name: value for name, value in self.document().items() if name in Rule.model_fields},
                "id": self.rule_id,
            }
        )

    @property
    def rule_id(self) -> str:
        """The rule that it would replace."""
        return self.id.removeprefix(SHADOW)

    @property
    def title(self) -> str:
        """See Rule."""
        return self.name or self.rule_id

    @property
    def ends_ms(self) -> int:
        """The clock at which it is judged no longer: late samples from before `until_ms` are in by then."""
        return self.until_ms + self.lateness_ms + _STRAGGLERS_MS

    def run_at(self, revision: int) -> int:
        """The offset of the record that began it; `revision` is that of this one."""
        return self.run if self.run >= 0 else revision


class ShadowProgress(msgspec.Struct, frozen=True):
    """What one partition of `samples` has shown a candidate: samples since its run began, and series now.

    `rule_id` is that of the rule, `at_ms` the clock of the log.
    """

    rule_id: str
    run: int
    partition: str
    samples: int
    series: int
    at_ms: int
