"""Kinds of lanes, by the window they look through: one file and one line of this table each."""

from collections.abc import Callable
from typing import Final

from tocsin.engine.evaluate.gather import GatherLane
from tocsin.engine.evaluate.instants import InstantLane
from tocsin.engine.evaluate.lane import Lane
from tocsin.engine.evaluate.members import MemberLane
from tocsin.engine.evaluate.panes import PaneLane
from tocsin.engine.evaluate.plan import Judged, LaneSpec
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.evaluate.sessions import SessionLane
from tocsin.engine.evaluate.silence import SilenceLane
from tocsin.engine.evaluate.slices import CountLane, SlidingLane

_LANES: Final[dict[str, Callable[[LaneSpec, Judged, SeriesTable], Lane]]] = {
    "instant": InstantLane,
    "silence": SilenceLane,
    "gather": GatherLane,
    "members": MemberLane,
    "tumbling": PaneLane,
    "hopping": PaneLane,
    "sliding": SlidingLane,
    "session": SessionLane,
    "count": CountLane,
}


def make_lane(spec: LaneSpec, judged: Judged, series: SeriesTable) -> Lane:
    """An empty lane of the kind that a spec asks for."""
    return _LANES[spec.kind](spec, judged, series)
