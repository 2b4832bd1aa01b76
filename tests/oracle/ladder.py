"""An escalation policy, slowly: second by second, a person with a list of what to do and a watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RANK = {"info": 0, "warning": 1, "error": 2, "critical": 3}
Taken = tuple[int, str, int, str, tuple[str, ...]]
"""When, by which policy, which step counted from 1, why, and which channels."""


@dataclass
class Model:
    """Policies as documents, and `reach`: which channels a target leads to, for an alert of a severity.

    A step that lifecycle is asked for is taken `lag_s` later, unless anything happens to the alert meanwhile. Nothing
    is done in the seconds of `quiet`; steps with hours count only within `hours`.
    """

    policies: Mapping[str, Mapping[str, Any]]
    reach: Callable[[str, str], Sequence[str]]
    lag_s: int
    quiet: range
    hours: range
    own: tuple[str, ...] = ()
    taken: list[Taken] = field(default_factory=list)
    status: str = "none"
    severity: str = "info"
    policy: str = ""
    round: int = 0
    place: int = 0  # of the step that comes next
    from_s: int = 0  # from when its wait counts
    last: int | None = None
    mild: set[int] = field(default_factory=set)
    at_once: list[int] = field(default_factory=list)
    asked: tuple[int, int] | None = None  # since when, and for which step
    told_first: bool = False
    over: bool = False
    heard: set[str] = field(default_factory=set)

    # -- what happens to the alert

    def fires(self, now_s: int, severity: str, policy: str) -> None:
        """Another episode."""
        self.status, self.severity, self.policy = "firing", severity, policy
        self.round, self.place, self.from_s, self.last = 0, 0, now_s, None
        self.mild, self.at_once, self.asked = set(), [], None
        self.told_first, self.over, self.heard = False, False, set(self.own)

    def acknowledged(self) -> None:
        """Somebody takes care."""
        self.status, self.asked, self.at_once = "acknowledged", None, []

    def unacknowledged(self, now_s: int) -> None:
        """Nobody does any more: whoever was told last hears that, and the next wait begins."""
        self.status, self.asked, self.from_s = "firing", None, now_s
        self.at_once = [] if self.last is None else [self.last]

    def worse_or_better(self, now_s: int, severity: str) -> None:
        """Another severity; a worse one ends an acknowledgement, and brings the steps back that it was too mild for."""
        is_worse = RANK[severity] > RANK[self.severity]
        self.severity, self.asked = severity, None
        if self.status == "acknowledged":
            if not is_worse:
                return
            self.status, self.from_s, self.at_once = "firing", now_s, []
        if is_worse:
            back = [place for place in sorted(self.mild) if self._is_bad_enough(place)]
            self.at_once += [place for place in back if place not in self.at_once]

    def ends(self) -> None:
        """It is over."""
        self.status, self.asked = "none", None

    # -- what time does

    def second(self, now_s: int) -> bool:
        """Everything that is to be done in this second; whether the policy asks for the alert to be resolved."""
        if self.asked is not None:
            if now_s < self.asked[0] + self.lag_s:
                return False
            place = self.asked[1]
            if place == len(self._steps):
                self.ends()
                return True
            self._take(now_s, place, self._why(place))
        while self.status == "firing" and self.asked is None and now_s not in self.quiet:
            if self.at_once:
                self._try(now_s, self.at_once[0])
            elif self.over or now_s < self.from_s + self._wait(self.place):
                return False
            elif self.place < len(self._steps):
                self._try(now_s, self.place)
            else:
                self._end_of_round(now_s)
            if self._asks and self.lag_s == 0:
                return self.second(now_s)
        return False

    def _try(self, now_s: int, place: int) -> None:
        is_due = place not in self.at_once
        step = self._steps[place]
        if is_due and not self._is_bad_enough(place):
            self.mild.add(place)
            self._skip()
        elif is_due and step.get("hours") and now_s not in self.hours:
            self._skip()
        elif not self._channels(place):
            if is_due:
                # Nobody there: whoever comes next is told at once, and after the last step the pause begins.
                self.place, self.from_s = (
                    place + 1,
                    now_s - (self._wait(place + 1) if place + 1 < len(self._steps) else 0),
                )
            else:
                self.at_once.remove(place)
                self.mild.discard(place)
        elif is_due and not self.told_first and place == 0 and self._wait(0) == 0:
            self._take(now_s, place, "first")
        else:
            self.asked = now_s, place

    def _take(self, now_s: int, place: int, why: str) -> None:
        self.asked, self.told_first = None, True
        channels = self._channels(place)
        if why == "first":
            channels = tuple(name for name in channels if name not in self.heard)
        self.heard |= set(channels)
        self.taken.append((now_s, self.policy, place + 1, why, channels))
        self.last = place
        came_back = place in self.at_once and place in self.mild
        if place not in self.at_once:
            self.place = place + 1
        self.at_once = [one for one in self.at_once if one != place]
        self.mild.discard(place)
        if not came_back:
            self.from_s = now_s

    def _skip(self) -> None:
        self.from_s += self._wait(self.place)
        self.place += 1

    def _end_of_round(self, now_s: int) -> None:
        policy = self.policies[self.policy]
        self.from_s += self._wait(self.place)
        if self.round < policy["repeat"]:
            self.round, self.place, self.mild = self.round + 1, 0, set()
        elif policy["next_policy"]:
            self.policy, self.round, self.place, self.mild = policy["next_policy"], 0, 0, set()
            self.told_first, self.last = True, None
        elif policy["at_end"] == "resolve":
            self.from_s -= self._wait(self.place)
            self.asked = now_s, len(self._steps)
        else:
            self.over = True

    @property
    def _asks(self) -> bool:
        return self.asked is not None

    # -- what is written in the policy

    @property
    def _steps(self) -> Sequence[Mapping[str, Any]]:
        return self.policies[self.policy]["steps"]  # type: ignore[no-any-return]

    def _wait(self, place: int) -> int:
        return int(self.policies[self.policy]["pause"] if place >= len(self._steps) else self._steps[place]["wait"])

    def _is_bad_enough(self, place: int) -> bool:
        return RANK[self.severity] >= RANK[self._steps[place].get("min_severity") or "info"]

    def _channels(self, place: int) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(name for target in self._steps[place]["notify"] for name in self.reach(target, self.severity))
        )

    def _why(self, place: int) -> str:
        if place not in self.at_once:
            return "unanswered"
        return "worse" if place in self.mild else "unacknowledged"
