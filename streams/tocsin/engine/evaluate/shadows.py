"""How much of the metrics candidates in shadow have seen: without it, no alert could mean that nothing was there."""

import numpy as np

from tocsin.engine.evaluate.flow import Flow
from tocsin.engine.evaluate.lane import FREE
from tocsin.engine.evaluate.state import PartitionState
from tocsin.schemas.labels import SHADOW, is_shadow
from tocsin.schemas.shadow import ShadowProgress


def count(state: PartitionState, flow: Flow) -> None:
    """Note the samples of a flow that candidates are about to look at."""
    if not state.shadowed or not flow.ready:
        return
    for key, lane in flow.lanes.items():
        candidates = _candidates(state, key)
        if candidates:
            seen = sum(int(np.count_nonzero(lane.slots(samples.series) != FREE)) for samples in flow.ready)
            for candidate in candidates:
                state.shadowed[candidate] += seen


def progress(state: PartitionState) -> list[ShadowProgress]:
    """What each candidate has seen so far."""
    series = dict.fromkeys(state.shadowed, 0)
    for key, lane in state.lanes.items() if series else ():
        for candidate in _candidates(state, key):
            series[candidate] += len(lane.occupied())
    return [
        ShadowProgress(rule_id.removeprefix(SHADOW), run, state.source, samples, series[rule_id, run], state.clock_ms)
        for (rule_id, run), samples in state.shadowed.items()
    ]


def _candidates(state: PartitionState, key: str) -> set[tuple[str, int]]:
    """The candidates that look at a lane, each once."""
    versions = [version for _, judged in state.plan.rules[key].values() for version in judged]
    return {(version.rule.id, version.epoch) for version in versions if is_shadow(version.rule.id)}
