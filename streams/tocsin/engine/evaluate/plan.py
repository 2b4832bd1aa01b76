"""The rule plan: rules compiled into lanes. A lane is what rules share: a metric, matchers, a window and a lateness."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.schemas.duration import format_duration
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.rule import Rule, Window


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """What a lane watches, and how; its `key` is the same for the same watch, whatever the rules."""

    metric: str
    matchers: tuple[Matcher, ...]
    window: Window | None
    lateness_ms: int

    @property
    def key(self) -> str:
        """A text that is equal for equal lanes."""
        window = f"{self.window.size}/{self.window.hop_ms}" if self.window else "-"
        matchers = ",".join(sorted(map(str, self.matchers)))
        return f"{self.metric}\x00{matchers}\x00{window}\x00{format_duration(self.lateness_ms)}"

    def watches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series belongs to this lane."""
        return name == self.metric and matches_all(self.matchers, labels)


@dataclass(slots=True)
class Plan:
    """Lanes and, for each, its rules by aggregation; `offset` is the end of the configuration it was made from."""

    offset: int = -1
    specs: dict[str, LaneSpec] = field(default_factory=dict)
    rules: dict[str, dict[str, list[RuleVersion]]] = field(default_factory=dict)
    by_metric: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, RuleVersion] = field(default_factory=dict)  # disabled rules too


def lane_of(rule: Rule) -> LaneSpec:
    """The lane that a rule belongs to."""
    return LaneSpec(rule.metric_type, rule.match, rule.window, rule.allowed_lateness)


def same_state(old: Rule, new: Rule) -> bool:
    """Whether a changed rule goes on with its state: what it watches, and the direction it looks in, are the same."""
    return (
        lane_of(old).key == lane_of(new).key
        and old.aggregate == new.aggregate
        and (old.condition, old.operator) == (new.condition, new.operator)
    )


def compile_plan(versions: Iterable[RuleVersion], offset: int) -> Plan:
    """Compile the enabled rules among `versions`."""
    plan = Plan(offset)
    for version in versions:
        plan.versions[version.rule.id] = version
        if not version.rule.enabled:
            continue
        spec = lane_of(version.rule)
        if spec.key not in plan.specs:
            plan.specs[spec.key] = spec
            plan.rules[spec.key] = {}
            plan.by_metric.setdefault(spec.metric, []).append(spec.key)
        plan.rules[spec.key].setdefault(version.rule.aggregate, []).append(version)
    return plan
