"""Kinds of groups: one file and one line of this table each."""

from collections.abc import Callable
from typing import Final

from tocsin.engine.combine.burn import BurnGroups
from tocsin.engine.combine.composite import CompositeGroups
from tocsin.engine.combine.group_lane import GroupLane
from tocsin.engine.combine.peers import Peers
from tocsin.engine.combine.silence import SilenceGroups
from tocsin.engine.combine.windows import WindowGroups
from tocsin.engine.evaluate.plan import GroupSpec, Judged
from tocsin.engine.evaluate.series import SeriesTable

_LANES: Final[dict[str, Callable[[GroupSpec, Judged, SeriesTable], GroupLane]]] = {
    "group": WindowGroups,
    "ratio": WindowGroups,
    "burn_rate": BurnGroups,
    "absence": SilenceGroups,
    "composite": CompositeGroups,
    "peers": Peers,
}


def make_group_lane(spec: GroupSpec, judged: Judged, series: SeriesTable) -> GroupLane:
    """An empty lane of the kind that a spec asks for."""
    return _LANES[spec.kind](spec, judged, series)
