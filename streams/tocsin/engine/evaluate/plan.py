"""The rule plan: rules compiled into lanes. A lane is what rules share: a metric, matchers, a window and a lateness."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from tocsin.engine.evaluate.derivations import DERIVATIONS
from tocsin.engine.evaluate.judge import NEVER_MS, RuleVersion
from tocsin.engine.evaluate.statistics import mergeable_of
from tocsin.schemas.kinds import Absence, BurnRate, BurnWindow, Member
from tocsin.schemas.labels import stable_id
from tocsin.schemas.learning import PEERS, Anomaly, Learning
from tocsin.schemas.matcher import Matcher, matches_all
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate
from tocsin.schemas.window import Window

SEEN_EVERY_MS: Final = 1_000  # how finely the silence of groups is measured
UNORDERED: Final = -1  # the flow of lanes that take samples in whatever order
_GROUP_KINDS: Final = ("ratio", "burn_rate", "composite", "absence", PEERS)
_BURN_PANES: Final = 5  # a short window


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """What a lane watches, and how; its `key` is the same for the same watch, whatever the rules.

    `group_by` is None where each series is looked at by itself; else the lane gathers for groups, all series of a group
    together or, where `each` is told by itself, as members of it. Only such a lane may do without the samples of a
    series `in_order`.
    """

    metric: str
    matchers: tuple[Matcher, ...]
    window: Window | None
    lateness_ms: int
    most_series: int
    absence: Absence | None = None
    group_by: tuple[str, ...] | None = None
    in_order: bool = True
    each: bool = False

    @property
    def key(self) -> str:
        """A text that is equal for equal lanes."""
        window = self.window.key if self.window else "-"
        absence = self.absence.model_dump_json() if self.absence else "-"
        groups = "-" if self.group_by is None else "\x01".join(("each of" if self.each else "by", *self.group_by))
        matchers = "\x01".join(sorted(map(str, self.matchers)))
        bounds = f"{self.lateness_ms}/{self.most_series}/{self.in_order:d}"
        return f"{self.metric}\x00{matchers}\x00{window}\x00{bounds}\x00{absence}\x00{groups}"

    @property
    def flow(self) -> int:
        """Which flow feeds it: that of its lateness, or the one that holds nothing back."""
        return self.lateness_ms if self.in_order else UNORDERED

    @property
    def kind(self) -> str:
        """Which kind of lane it is."""
        if self.group_by is not None:
            return "members" if self.each else "gather"
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
        settings, direction = self.settings, "up" if self.upwards else "down"
        judged_by = settings.judged_by if isinstance(settings, Learning) else settings.model_dump_json()
        return f"{self.aggregate}/{self.full:d}/{self.derivation}/{judged_by}/{direction}"

    @property
    def learnt_by(self) -> str:
        """A text that is equal for sources of one kind that learn the same; empty where nothing is learnt for long."""
        if not isinstance(self.settings, Learning):
            return ""
        return f"{self.aggregate}/{self.full:d}/{self.derivation}/{self.settings.learnt_by}"


Judged = dict[str, tuple[Source, list[RuleVersion]]]  # by the source's key


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """What is put together of shares, and how. `parts` are keys of the lanes that gather for it."""

    kind: str
    metric: str
    group_by: tuple[str, ...]
    lateness_ms: int
    parts: tuple[str, ...] = ()
    window: Window | None = None
    absence: Absence | None = None
    burns: tuple[BurnWindow, ...] = ()
    objective: float = 0.0
    members: tuple[Member, ...] = ()
    combine: str = ""
    least: int = 0  # members that a group must have

    @property
    def key(self) -> str:
        """A text that is equal for equal groups."""
        settings = (self.absence, *self.burns, *self.members)
        texts = [model.model_dump_json() for model in settings if model is not None]
        window = self.window.key if self.window else "-"
        places = (self.kind, self.metric, *self.group_by, "\x01", str(self.lateness_ms), window)
        least = [str(self.least)] if self.least else []
        return stable_id(*places, *self.parts, *texts, self.combine, str(self.objective), *least)

    @property
    def most_series(self) -> int:
        """Groups are as many as their series make them; those are bounded where they are gathered."""
        return 2**31


@dataclass(slots=True)
class Plan:
    """Lanes and, for each, its rules by source; `offset` is the end of the configuration it was made from.

    `groups` are judged where shares meet, each under its key, and `group_rules` their rules. At the clock `changes_ms`
    the time of a candidate in shadow is over, and another plan takes over.
    """

    offset: int = -1
    changes_ms: int = NEVER_MS
    specs: dict[str, LaneSpec] = field(default_factory=dict)
    rules: dict[str, Judged] = field(default_factory=dict)
    groups: dict[str, GroupSpec] = field(default_factory=dict)
    group_rules: dict[str, Judged] = field(default_factory=dict)
    versions: dict[str, RuleVersion] = field(default_factory=dict)  # disabled rules too
    composites: dict[str, list[GroupSpec]] = field(default_factory=dict)  # by member's rule

    def amended(self, changed: Mapping[str, RuleVersion | None], offset: int) -> "Plan":
        """This plan with some rules changed, or gone. What no such rule looks at stays the very same object, by which
        it is known that nothing changed there."""
        copies = {name: dict(getattr(self, name)) for name in self.__slots__ if name not in ("offset", "changes_ms")}
        plan, own = Plan(offset, NEVER_MS, **copies), set[str]()
        for rule_id, version in changed.items():
            before = plan.versions.pop(rule_id, None) if version is None else plan.versions.get(rule_id)
            if before is not None and before.rule.enabled:
                for spec, source in places_of(before.rule):
                    plan._remove(spec, source, before, own)
            if version is not None:
                plan.versions[rule_id] = version
                if version.rule.enabled:
                    for spec, source in places_of(version.rule):
                        plan._add(spec, source, version, own)
        ends = (one.rule.ends_ms for one in plan.versions.values() if isinstance(one.rule, Candidate))
        plan.changes_ms = min(ends, default=NEVER_MS)
        plan._sort(own)
        return plan

    def without(self, rule_ids: Iterable[str]) -> "Plan":
        """This plan without some rules, as one that is made before its offset is reached: the next tick looks once more
        which versions of these are in force there."""
        return self.amended(dict.fromkeys(rule_ids), self.offset - 1)

    def _sort(self, own: set[str]) -> None:
        """What was restored numbers what it sends as it was numbered before, in the order of lanes: however a plan came
        about, that is the order of their keys."""
        self.specs, self.groups = dict(sorted(self.specs.items())), dict(sorted(self.groups.items()))
        added = [self.groups[key] for key in own if key in self.groups]
        for rule_id in {member.rule for spec in added for member in spec.members}:
            self.composites[rule_id] = sorted(self.composites[rule_id], key=lambda spec: spec.key)

    def _judged(self, spec: LaneSpec | GroupSpec, own: set[str]) -> Judged:
        """The rules of a lane or group, to be changed: copied unless they are `own` already."""
        of = self.group_rules if isinstance(spec, GroupSpec) else self.rules
        if spec.key not in own:
            own.add(spec.key)
            of[spec.key] = {key: (source, list(found)) for key, (source, found) in of.get(spec.key, {}).items()}
        return of[spec.key]

    def _add(self, spec: LaneSpec | GroupSpec, source: Source, version: RuleVersion, own: set[str]) -> None:
        self._judged(spec, own).setdefault(source.key, (source, []))[1].append(version)
        if isinstance(spec, LaneSpec):
            self.specs.setdefault(spec.key, spec)
        elif spec.key not in self.groups:
            self.groups[spec.key] = spec
            for rule_id in {member.rule for member in spec.members}:
                self.composites[rule_id] = [*self.composites.get(rule_id, []), spec]

    def _remove(self, spec: LaneSpec | GroupSpec, source: Source, version: RuleVersion, own: set[str]) -> None:
        judged = self._judged(spec, own)
        looking = judged[source.key][1]
        del looking[next(place for place, one in enumerate(looking) if one.rule.id == version.rule.id)]
        if not judged[source.key][1]:
            del judged[source.key]
        if judged:
            return
        own.discard(spec.key)
        if isinstance(spec, LaneSpec):
            del self.rules[spec.key], self.specs[spec.key]
            return
        del self.group_rules[spec.key], self.groups[spec.key]
        for rule_id in {member.rule for member in spec.members}:
            rest = [one for one in self.composites[rule_id] if one.key != spec.key]
            if rest:
                self.composites[rule_id] = rest
            else:
                del self.composites[rule_id]


def is_grouped(rule: Rule) -> bool:
    """Whether a rule is judged where the shares of groups meet, instead of series by series."""
    settings = rule.settings
    expected = isinstance(settings, Absence) and bool(settings.expected)
    return bool(rule.group_by) or expected or rule.condition in ("ratio", "burn_rate", "composite")


def lane_of(rule: Rule) -> LaneSpec:
    """The lane that a rule on single series belongs to."""
    absence = rule.settings if isinstance(rule.settings, Absence) else None
    return LaneSpec(rule.metric_type, rule.match, rule.window, rule.lateness_ms, rule.max_series, absence)


def gathered_by(rule: Rule) -> list[tuple[LaneSpec, Source]]:
    """The lanes that gather for a rule on groups."""

    def lane(metric: str, hop_ms: int, aggregate: str) -> tuple[LaneSpec, Source]:
        window = Window(type="tumbling", size=hop_ms / 1_000)  # type: ignore[arg-type]  # seconds, as users write them
        watched = metric, rule.match, window, rule.lateness_ms, rule.max_series
        in_order, each = mergeable_of(aggregate).needs_order, rule.judged_as == PEERS
        return LaneSpec(*watched, None, group_labels(rule), in_order, each), Source(aggregate)

    settings = rule.settings
    if rule.condition == "composite":
        return []
    if isinstance(settings, Absence):
        return [lane(rule.metric_type, SEEN_EVERY_MS, "last")]
    if isinstance(settings, BurnRate):
        aggregate = "increase" if settings.counters else "sum"
        metrics = [rule.metric_type, settings.total]
        return [lane(metric, burn_hop_ms(burn), aggregate) for burn in settings.windows for metric in metrics]
    assert rule.window is not None
    metrics = [rule.metric_type, rule.ratio.per] if rule.ratio else [rule.metric_type]
    return [lane(metric, rule.window.hop_ms, rule.aggregate) for metric in metrics]


def burn_hop_ms(burn: BurnWindow) -> int:
    """How far the windows of a burn rate move each time: a fifth of the short one, if that is whole."""
    return burn.short if burn.short % _BURN_PANES or burn.short < _BURN_PANES else burn.short // _BURN_PANES


def group_labels(rule: Rule) -> tuple[str, ...]:
    """By which labels a rule on groups groups; those of the expected sets unless it says so."""
    settings = rule.settings
    if not rule.group_by and isinstance(settings, Absence) and settings.expected:
        return tuple(sorted({name for labels in settings.expected for name in labels}))
    return rule.group_by


def group_of(rule: Rule) -> GroupSpec:
    """The group that a rule on groups belongs to."""
    settings = rule.settings
    return GroupSpec(
        kind=rule.judged_as if rule.judged_as in _GROUP_KINDS else "group",
        metric=rule.metric_type,
        group_by=group_labels(rule),
        lateness_ms=rule.lateness_ms,
        parts=tuple(spec.key for spec, _ in gathered_by(rule)),
        window=rule.window,
        absence=settings if isinstance(settings, Absence) else None,
        burns=settings.windows if isinstance(settings, BurnRate) else (),
        objective=settings.objective if isinstance(settings, BurnRate) else 0.0,
        members=rule.conditions,
        combine=str(rule.combine) if rule.conditions else "",
        least=settings.min_members if isinstance(settings, Anomaly) and settings.is_of_peers else 0,
    )


def source_of(rule: Rule) -> Source:
    """The value that a rule judges."""
    full = rule.require_full_window and rule.window is not None
    if rule.judged_as not in DERIVATIONS:
        return Source(rule.aggregate, full)
    return Source(rule.aggregate, full, rule.judged_as, rule.settings, rule.operator not in ("lt", "lte"))


def is_over(rule: Rule, clock_ms: int) -> bool:
    """Whether a rule is a candidate in shadow whose time is over."""
    return isinstance(rule, Candidate) and rule.ends_ms <= clock_ms


def same_state(old: Rule, new: Rule) -> bool:
    """Whether a changed rule goes on with its state: what it watches, and the direction it looks in, are the same."""
    return (
        _place(old) == _place(new)
        and source_of(old).key == source_of(new).key
        and (old.judged_as, old.operator, old.inside) == (new.judged_as, new.operator, new.inside)
        and [step.severity for step in old.levels] == [step.severity for step in new.levels]
    )


def _place(rule: Rule) -> tuple[bool, str]:
    return is_grouped(rule), group_of(rule).key if is_grouped(rule) else lane_of(rule).key


def places_of(rule: Rule) -> Iterator[tuple[LaneSpec | GroupSpec, Source]]:
    """Where a rule looks: at series, or at groups and at what gathers for them. Each place once."""
    if not is_grouped(rule):
        yield lane_of(rule), source_of(rule)
        return
    yield from {(spec.key, source.key): (spec, source) for spec, source in gathered_by(rule)}.values()
    yield group_of(rule), source_of(rule)


def compile_plan(versions: Iterable[RuleVersion], offset: int) -> Plan:
    """Compile the enabled rules among `versions`."""
    return Plan().amended({version.rule.id: version for version in versions}, offset)
