"""How far a partition of evaluate or combine is: up to which event time it has said all that samples come to."""

from typing import Final, NamedTuple

from tocsin.engine.combine.state import CombineState
from tocsin.engine.evaluate import sharing
from tocsin.engine.evaluate.plan import Plan
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.ingest.step import UNSEEN_MS
from tocsin.engine.watermark import Timing
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.mark import Late, Passed
from tocsin.schemas.rule import Rule

_MOST_NAMED: Final = 100


class Standing(NamedTuple):
    """What a mark says, but for what it has to do with the log."""

    watermark_ms: int
    late: tuple[Late, ...]
    shares: bool

    def mark(self, ends: tuple[int, ...]) -> Passed:
        """As a mark, once all that was said lies on `signals` before `ends`."""
        return Passed(self.watermark_ms, ends, self.late, self.shares)


def of_evaluate(state: PartitionState, timing: Timing) -> Standing | None:
    """The standing of a samples partition; None where nothing is known of the metrics topics yet."""
    watermark_ms = sharing.watermark(state, timing)
    if state.plan.offset < 0 or watermark_ms == UNSEEN_MS:
        return None
    # Samples that nobody watches raise the watermark too, and what waited for it is judged by the next tick.
    due_ms = min((flow.due_ms() for flow in state.flows.values()), default=watermark_ms + 1)
    return Standing(min(watermark_ms, due_ms - 1), _late(state.plan), bool(state.plan.groups))


def of_combine(state: CombineState) -> Standing | None:
    """The standing of a partition of `partials`; None where there is nothing to put together."""
    if not state.plan.groups or state.watermark_ms == UNSEEN_MS:
        return None
    return Standing(state.watermark_ms, (), shares=False)


def _late(plan: Plan) -> tuple[Late, ...]:
    """What comes of rules that wait for late samples; of very many only how long those of each severity wait."""
    lanes, groups = plan.specs.values(), plan.groups.values()
    if not (any(spec.lateness_ms for spec in lanes) or any(spec.lateness_ms for spec in groups)):
        return ()
    judged = (one.rule for one in plan.versions.values() if one.rule.enabled and not is_shadow(one.rule.id))
    found = sorted({one for rule in judged if rule.lateness_ms for one in _late_of(rule)}, key=lambda one: one.ms)
    if len(found) > _MOST_NAMED:
        found = list({one.severity: Late(one.ms, severity=one.severity) for one in found}.values())
    return tuple(sorted(found, key=str))


def _late_of(rule: Rule) -> list[Late]:
    return [Late(rule.lateness_ms, rule.id, step.severity.value, rule.category) for step in rule.steps]
