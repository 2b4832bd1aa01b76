"""What a samples partition says of limits that were met: of each rule's `max_series`, and of its own.

It says so all at once, to where the shares of all partitions meet: at first often, so that the number is right by the
time somebody is told, then twice at the beginning of a round. What it no longer names is over.
"""

from collections.abc import Iterable, Iterator
from itertools import filterfalse
from typing import Final

from tocsin.engine.evaluate.distinct import Distinct
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.refusals import ROUND_MS, Refusals
from tocsin.engine.evaluate.sharing import numbered_from
from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.partial import Limits, MetLimit
from tocsin.schemas.labels import is_shadow

OF_A_PARTITION: Final = ""  # stands for a rule's id
LOOK_MS: Final = 10_000
_FIRST_MS: Final = 3 * LOOK_MS
_MOST_TOLD: Final = 64  # channels of one alert


def look(state: PartitionState, until_ms: int) -> Iterator[Limits]:
    """Called at every tick, with its clock: what there is to say, if it is time."""
    if until_ms // LOOK_MS == state.limits_ms // LOOK_MS:
        return
    is_round = until_ms // ROUND_MS != state.limits_ms // ROUND_MS
    if is_round and state.limits_ms:
        state.retry_refused()
    is_fresh, state.limits_ms = not state.limits_ms, until_ms
    met = tuple(_met(state))
    begins = any(until_ms - one.since_ms < _FIRST_MS for one in met)
    names = [(one.rule_id, one.told) for one in met]
    is_time = begins or until_ms % ROUND_MS < 2 * LOOK_MS
    if is_fresh or (is_time and met) or names != state.limits_said:
        state.limits_said = names
        state.sequence = numbered_from(state.sequence, until_ms) + 1
        yield Limits(state.source, state.sequence - 1, until_ms, met)


def _met(state: PartitionState) -> Iterator[MetLimit]:
    """By rule, in order of their ids; candidates in shadow say nothing to anybody."""
    lanes: dict[str, list[Lane]] = {}
    for lane in state.lanes.values():
        if lane.refused.is_met:
            for rule_id in filterfalse(is_shadow, (version.rule.id for version in lane.versions())):
                lanes.setdefault(rule_id, []).append(lane)
    if state.refused.is_met:
        rules = [one.rule for rule_id, one in state.plan.versions.items() if not is_shadow(rule_id)]
        told = {name for rule in rules if rule.enabled for name in rule.notifications}
        yield _told(OF_A_PARTITION, "", state.most_series, sorted(told), [state.refused])
    for rule_id, found in sorted(lanes.items()):
        rule = state.plan.versions[rule_id].rule
        refused = [lane.refused for lane in found]
        yield _told(rule_id, rule.metric_type, rule.max_series, rule.notifications, refused)


def _told(rule_id: str, metric: str, most: int, told: Iterable[str], found: list[Refusals]) -> MetLimit:
    """A rule may watch through several lanes, and miss the same series in each."""
    since_ms = min(one.since_ms for one in found if one.since_ms is not None)
    now = Distinct(value for one in found for value in one.now.hashes())
    number = max(now.count(), *(one.last for one in found))
    return MetLimit(rule_id, metric, most, number, since_ms, tuple(told)[:_MOST_TOLD])
