"""How far the escalation of an alert has come, and what every event and every step does to that.

Times are points in the record, and each wait is counted from what was done before it, so that a crash, or a worker
that was away, moves nothing. Steps after the first are asked for: lifecycle, which alone writes alerts, takes one only
if the alert is still as it was when route asked, so none is taken after somebody acknowledged, and none is taken twice.
"""

from typing import Final, Literal

import msgspec

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.kinds import Severity

ASK_AGAIN_MS: Final = 60_000  # a command that never came through
Reason = Literal["unanswered", "unacknowledged", "worse"]


class Ladder(msgspec.Struct, omit_defaults=True):
    """One alert. `step` is the next one, counted from 0; its wait counts from `since_ms` and ends at `due_ms`, which is
    0 until it is known, and not before `hold_ms`, unless what may inhibit the alert is known before: by the watermark
    `awaits_ms`.

    `taken` is the step of this policy that was taken last. `passed` are steps of this round that the alert was too mild
    for, `owed` are those to be taken at once. `asked` is the sequence at which lifecycle was asked for the step
    `place`, -1 if it was not. `is_first` until a step was taken. One that `is_over` takes only what is owed.
    """

    policy: str
    event: AlertEvent
    since_ms: int
    hold_ms: int = 0
    awaits_ms: int = 0
    due_ms: int = 0
    round: int = 0
    step: int = 0
    taken: int = -1
    passed: tuple[int, ...] = ()
    owed: tuple[int, ...] = ()
    asked: int = -1
    asked_ms: int = 0
    place: int = 0
    is_first: bool = True
    is_over: bool = False
    said: str = ""

    @property
    def next_ms(self) -> int:
        """When it is to be looked at; 0 while there is nothing to wait for."""
        if self.event.status != "firing":
            return 0
        if self.asked >= 0:
            return self.asked_ms + ASK_AGAIN_MS
        if self.owed:
            return self.since_ms
        return 0 if self.is_over else self.due_ms or self.since_ms

    @property
    def severity(self) -> Severity:
        """How bad the alert is."""
        return Severity.of(self.event.severity)

    def wait_for(self, policy: EscalationPolicy) -> None:
        """Find out until when the next step, or the end of the round, waits."""
        if not self.due_ms:
            self.due_ms = max(self.since_ms + policy.wait_ms(self.step), self.hold_ms)
        self.owed = tuple(place for place in self.owed if place < len(policy.steps))

    def release(self) -> None:
        """What may inhibit the alert is known."""
        if self.due_ms == self.hold_ms:
            self.due_ms = 0
        self.hold_ms = self.awaits_ms = 0

    def choose(self, policy: EscalationPolicy, at_ms: int) -> tuple[int, Reason] | None:
        """The step to take now, and why; behind the last one the round ends. None while nothing is due."""
        if self.owed:
            place = self.owed[0]
            return place, "worse" if place in self.passed else "unacknowledged"
        if self.due_ms > at_ms:
            return None
        return min(self.step, len(policy.steps)), "unanswered"

    def hear(self, event: AlertEvent, policy: EscalationPolicy | None, at_ms: int) -> None:
        """Another event of the same alert."""
        before, asked = self.event, self.asked
        self.event, self.asked = event, -1  # what was asked for counts for the event before only
        if event.type == "escalated":
            if event.sequence == asked + 1:
                self.took(self.place, at_ms)
            return
        if event.status != "firing":
            self.owed = ()
            return
        if before.status == "acknowledged":
            self.since_ms, self.due_ms = at_ms, 0
            # Who was told last is told that nobody takes care any more; that it is worse they hear anyway.
            self.owed = (self.taken,) if event.type != "changed" and self.taken >= 0 else ()
        if Severity.of(event.severity).rank > Severity.of(before.severity).rank and policy is not None:
            self.owed += tuple(place for place in self.passed if place not in self.owed and fits(policy, place, event))

    def took(self, place: int, at_ms: int) -> None:
        """A step was taken."""
        was_passed, was_owed = place in self.passed, place in self.owed
        self.is_first, self.taken, self.said = False, place, ""
        self._settled(place)
        if was_owed and was_passed:
            return  # the others wait as they did
        if not was_owed:
            self.step = place + 1
        self.since_ms, self.due_ms = at_ms, 0

    def pass_over(self, place: int, *, mild: bool) -> None:
        """A step that does not count now; those behind it come when they would have come."""
        self.step = place + 1
        self.since_ms, self.due_ms = self.due_ms, 0
        if mild:
            self.passed += (place,)

    def found_nobody(self, place: int, policy: EscalationPolicy, at_ms: int) -> None:
        """A step that reaches nobody: the next one is taken at once."""
        if place in self.owed:
            self._settled(place)
            return
        self.step, self.since_ms = place + 1, at_ms
        self.due_ms = at_ms if self.step < len(policy.steps) else 0

    def _settled(self, place: int) -> None:
        self.owed = tuple(one for one in self.owed if one != place)
        self.passed = tuple(one for one in self.passed if one != place)

    def end_round(self, policy: EscalationPolicy) -> bool:
        """Begin the next round, or the next policy; whether there is one."""
        if self.round < policy.repeat:
            self.round += 1
        elif policy.next_policy is not None:
            self.policy, self.round, self.taken, self.is_first = policy.next_policy, 0, -1, False
        else:
            return False
        self.step, self.passed = 0, ()
        self.since_ms, self.due_ms = self.due_ms, 0
        return True


def fits(policy: EscalationPolicy, place: int, event: AlertEvent) -> bool:
    """Whether an alert is bad enough for a step."""
    if place >= len(policy.steps):
        return False
    return Severity.of(event.severity).reaches(policy.steps[place].min_severity)
