"""What a rule says to no effect: what is set that its kind never looks at. Such a rule is taken all the same."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tocsin.schemas.problems import Path, Problem
from tocsin.schemas.rule import Rule

_WINDOWLESS: Final = ("burn_rate", "composite")
_NO_DATA_AFTER: Final = Rule.model_fields["no_data_after"].get_default()
DOUBTS: Final[tuple[tuple[Callable[[Rule], bool], Path, str], ...]] = (
    (
        lambda rule: rule.condition == "absence" and rule.duration > 0,
        ("duration",),
        "does nothing with condition absence; say how long a series may be silent: absence: {after: 5m}",
    ),
    (
        lambda rule: rule.condition == "absence" and rule.on_no_data != "keep",
        ("on_no_data",),
        "does nothing with condition absence, which is about silence itself; remove it",
    ),
    (
        lambda rule: rule.condition == "composite" and rule.on_no_data != "keep",
        ("on_no_data",),
        "does nothing with condition composite; say it of each condition: {rule: cpu, on_no_data: alert}",
    ),
    (
        lambda rule: rule.condition == "composite" and bool(rule.match),
        ("match",),
        "does nothing with condition composite; give it to the rules that it is over",
    ),
    (
        lambda rule: rule.condition == "composite" and bool(rule.metric_type),
        ("metric_type",),
        "does nothing with condition composite, which is over rules; remove it",
    ),
    (
        lambda rule: rule.condition in _WINDOWLESS and rule.aggregation is not None,
        ("aggregation",),
        "does nothing with burn_rate and composite; remove it",
    ),
    (
        lambda rule: rule.condition not in ("absence", "composite") and _waits_in_vain(rule),
        ("no_data_after",),
        "does nothing with on_no_data: keep; set on_no_data: alert, or ok",
    ),
)


def doubts(rule: Rule, known: Mapping[str, Rule | None]) -> Iterator[Problem]:
    """Everything in a rule that has no effect, among the rules that are `known`: paths, and texts with their mend."""
    yield from ((path, text) for is_so, path, text in DOUBTS if is_so(rule))
    for place, member in enumerate(rule.conditions):
        of = known.get(member.rule)
        if member.on_no_data != "ok" and of is not None and of.condition != "composite" and of.on_no_data != "alert":
            text = f"does nothing, as rule {of.id!r} is never without data; set on_no_data: alert there"
            yield ("conditions", place, "on_no_data"), text


def _waits_in_vain(rule: Rule) -> bool:
    return rule.on_no_data == "keep" and rule.no_data_after != _NO_DATA_AFTER
