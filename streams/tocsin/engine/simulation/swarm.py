"""What one schedule draws from: a random part of all that may happen, and how long it goes on.

Whoever does a little of everything rarely does enough of two things that only break together, and costs as much as many
schedules that leave half of it out (Groce, Zhang, Eide, Chen and Regehr, "Swarm Testing", ISSTA 2012). Most schedules
are short for the same reason, and a few go on for very long.
"""

from dataclasses import dataclass
from typing import Final

from tocsin.engine.simulation.chance import Chance
from tocsin.schemas.command import CommandType

_ROUNDS: Final = (1, 1, 1, 1, 2, 2, 3, 6)
_PHASES: Final = (1, 1, 1, 1, 2)
_ACTIONS: Final[tuple[CommandType, ...]] = ("acknowledge", "acknowledge", "resolve", "unacknowledge", "snooze")
_DEEDS: Final = (*("command",) * 7, *("silence",) * 2, "route")
_FAULTS: Final = (
    "crash", "crash", "crash", "pause", "rescale", "rebalance", "stop", "receiver", "refusal", "compaction", "clock",
)  # fmt: skip
_OF: Final = {"receiver": "deliver", "refusal": "deliver", "clock": "evaluate"}  # faults of one group's world alone


@dataclass(frozen=True, slots=True)
class Swarm:
    """The kinds of faults, of people's commands, and of what else people do, each as often as it is to be chosen;
    `overtakes` says whether owners stand still until others have gone on. `rounds` are those of each phase."""

    faults: tuple[str, ...]
    actions: tuple[CommandType, ...]
    deeds: tuple[str, ...]
    overtakes: bool
    rounds: tuple[int, ...]


def draw_swarm(chance: Chance, groups: tuple[str, ...], *, has_routes: bool) -> Swarm:
    """What happens in a schedule in which these groups of processes take part."""
    kinds = {kind for kind in _FAULTS if _OF.get(kind, groups[0]) in groups}
    faults = {*chance.part_of(sorted(kinds)), *(("crash",) if chance.happens(50) else ())}
    faults = faults if chance.happens(90) else set()
    actions, deeds = chance.part_of(sorted({*_ACTIONS})), {"command", *chance.part_of(("silence", "route"))}
    return Swarm(
        tuple(kind for kind in _FAULTS if kind in faults),
        tuple(kind for kind in _ACTIONS if kind in actions),
        tuple(kind for kind in _DEEDS if kind in deeds),
        overtakes=has_routes and bool(faults) and chance.happens(70),
        rounds=tuple(chance.one_of(_ROUNDS) for _ in range(chance.one_of(_PHASES))),
    )
