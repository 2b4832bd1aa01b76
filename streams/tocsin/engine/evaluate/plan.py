"""The rule plan: rules compiled into lanes. A lane is what rules share: a metric, matchers, a window and a lateness."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from tocsin.engine.evaluate.derivations import DERIVATIONS
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.schemas.kinds import Absence
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.rule import Rule
from tocsin.schemas.window import Window


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """What a lane watches, and how; its `key` is the same for the same watch, whatever the rules."""

    metric: str
    matchers: tuple[Matcher, ...]
    window: Window | None
    lateness_ms: int
    most_series: int
    absence: Absence | None = None

    @property
    def key(self) -> str:
        """A text that is equal for equal lanes."""
        window = self.window.key if self.window else "-"
        absence = self.absence.model_dump_json() if self.absence else "-"
        matchers = "\x01".join(sorted(map(str, self.matchers)))
        return "\x00".join((self.metric, matchers, window, str(self.lateness_ms), str(self.most_series), absence))

    @property
    def kind(self) -> str:
        """Through which kind of window it looks."""
        if self.absence:
            return "silence"
        return self.window.type if self.window else "instant"

    def watches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series belongs to this lane."""
        return name == self.metric and matches_all(self.matchers, labels)


@dataclass(frozen=True, slots=True)
class Source:
    """Which value of a lane some rules judge: an aggregation, perhaps only of full windows, perhaps derived further."""

    aggregate: str
    full: bool = False
    derivation: str = ""
    settings: BaseModel | None = None
    upwards: bool = True

    @property
    def key(self) -> str:
        """A text that is equal for equal sources."""
        if not self.derivation:
            return f"{self.aggregate}/{self.full:d}"
        assert self.settings is not None
        direction = "up" if self.upwards else "down"
        return f"{self.aggregate}/{self.full:d}/{self.derivation}/{self.settings.model_dump_json()}/{direction}"


Judged = dict[str, tuple[Source, list[RuleVersion]]]  # by the source's key


@dataclass(slots=True)
class Plan:
    """Lanes and, for each, its rules by source; `offset` is the end of the configuration it was made from."""

    offset: int = -1
    specs: dict[str, LaneSpec] = field(default_factory=dict)
    rules: dict[str, Judged] = field(default_factory=dict)
    by_metric: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, RuleVersion] = field(default_factory=dict)  # disabled rules too


def lane_of(rule: Rule) -> LaneSpec:
    """The lane that a rule belongs to."""
    absence = rule.settings if isinstance(rule.settings, Absence) else None
    return LaneSpec(rule.metric_type, rule.match, rule.window, rule.allowed_lateness, rule.max_series, absence)


def source_of(rule: Rule) -> Source:
    """The value that a rule judges."""
    full = rule.require_full_window and rule.window is not None
    if rule.condition not in DERIVATIONS:
        return Source(rule.aggregate, full)
    return Source(rule.aggregate, full, rule.condition, rule.settings, rule.operator not in ("lt", "lte"))


def same_state(old: Rule, new: Rule) -> bool:
    """Whether a changed rule goes on with its state: what it watches, and the direction it looks in, are the same."""
    return (
        lane_of(old).key == lane_of(new).key
        and source_of(old).key == source_of(new).key
        and (old.condition, old.operator, old.inside) == (new.condition, new.operator, new.inside)
        and [step.severity for step in old.levels] == [step.severity for step in new.levels]
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
        source = source_of(version.rule)
        plan.rules[spec.key].setdefault(source.key, (source, []))[1].append(version)
    return plan
