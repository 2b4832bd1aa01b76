"""What escalation says because of an event, or of time: notifications, commands to lifecycle, and why nothing is."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tocsin.engine.escalate.directory import Directory, Reached
from tocsin.engine.escalate.ladder import Ladder, Reason, fits
from tocsin.engine.route.channels import find_channels
from tocsin.engine.route.decisions import decision
from tocsin.engine.route.direct import notification
from tocsin.engine.route.muting import Muting
from tocsin.engine.route.record import RouteRecord
from tocsin.engine.route.unroutable import unroutable
from tocsin.schemas.alert import AlertEvent, Escalation, routing_labels
from tocsin.schemas.channel import Channel
from tocsin.schemas.command import Command
from tocsin.schemas.decision import Decision, Outcome
from tocsin.schemas.escalation import EscalationPolicy
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Delivery, Notification

ACTOR: Final = "escalation"


@dataclass(frozen=True, slots=True)
class Escalations:
    """Goes through policies at a time, and adds what is said to the lists."""

    directory: Directory
    channels: Mapping[str, Channel]
    types: Collection[str]
    muting: Muting
    at_ms: int
    notifications: list[Notification]
    unroutable: list[Delivery]
    decisions: list[Decision]
    commands: list[Command]

    def take(self, record: RouteRecord, event: AlertEvent) -> None:
        """Apply an event of an alert."""
        if event.type == "firing":
            record.escalation = self._begin(event)
        elif event.status == "resolved":
            record.escalation = None
        ladder = record.escalation
        if event.type == "escalated" and event.escalation is not None:
            self._tell_step(record, event, event.escalation)
        if ladder is None:
            return
        if ladder.event is not event:
            was_firing = ladder.event.status == "firing"
            ladder.hear(event, self.directory.policies.get(ladder.policy), self.at_ms)
            if was_firing and event.status == "acknowledged" and not ladder.is_over:
                self._decide(ladder, "acknowledged", by=(event.actor or "",))
        self._go_on(record, ladder)

    def look(self, record: RouteRecord) -> bool:
        """Look again at an alert whose time has come; whether its record changed."""
        ladder = record.escalation
        if ladder is None:
            return False
        before = (ladder.next_ms, ladder.awaits_ms, ladder.said, ladder.asked_ms)
        if ladder.awaits_ms:
            wait = self.muting.wait_of(ladder.event) if ladder.hold_ms > self.at_ms else None
            if wait:
                ladder.awaits_ms = wait.awaits_ms
            else:
                ladder.release()
        self._go_on(record, ladder)
        return (ladder.next_ms, ladder.awaits_ms, ladder.said, ladder.asked_ms) != before

    def _begin(self, event: AlertEvent) -> Ladder | None:
        if not event.escalation_policy:
            return None
        wait = self.muting.wait_of(event)
        hold_ms, awaits_ms = (self.at_ms + wait.hold_ms, wait.awaits_ms) if wait else (0, 0)
        return Ladder(event.escalation_policy, event, self.at_ms, hold_ms=hold_ms, awaits_ms=awaits_ms)

    def _go_on(self, record: RouteRecord, ladder: Ladder) -> None:
        """Everything that is due by now, up to a step that lifecycle is asked for."""
        while 0 < ladder.next_ms <= self.at_ms:
            policy = self.directory.policies.get(ladder.policy)
            if policy is None:
                why = f"there is no escalation policy {ladder.policy!r}; add it, or correct the rule"
                self._decide(ladder, "no policy", reason=why)
                return
            ladder.wait_for(policy)
            chosen = ladder.choose(policy, self.at_ms)
            if chosen is None:
                self._wait(ladder, policy)
                return
            is_step = chosen[0] < len(policy.steps)
            if self._is_muted(ladder, chosen[0] if is_step else -1):
                return
            if not is_step:
                self._end_round(ladder, policy)
            else:
                self._step(record, ladder, policy, *chosen)

    def _wait(self, ladder: Ladder, policy: EscalationPolicy) -> None:
        """Say what comes next, and when."""
        is_step, reason = ladder.step < len(policy.steps), ""
        if not is_step:
            reason = f"before round {ladder.round + 2}" if ladder.round < policy.repeat else "before the policy is over"
        place = ladder.step if is_step else -1
        self._decide(ladder, "waiting", place, reason=reason, until_ms=ladder.due_ms)

    def _is_muted(self, ladder: Ladder, place: int) -> bool:
        event = ladder.event
        if self.muting.is_idle:
            return False
        mute = self.muting.why(routing_labels(event), event.fired_ms, self.at_ms)
        if mute is not None:
            self._decide(ladder, mute.outcome, place, by=mute.by)
        return mute is not None

    def _step(self, record: RouteRecord, ladder: Ladder, policy: EscalationPolicy, place: int, reason: Reason) -> None:
        step = policy.steps[place]
        if place not in ladder.owed:
            if not fits(policy, place, ladder.event):
                assert step.min_severity is not None
                self._decide(ladder, "passed over", place, reason=f"for {step.min_severity.value} alerts and worse")
                ladder.pass_over(place, mild=True)
                return
            if step.hours and not any(span.holds(self.at_ms) for span in step.hours):
                self._decide(ladder, "passed over", place, reason="outside the step's hours")
                ladder.pass_over(place, mild=False)
                return
        reached = self.directory.reach(step.notify, ladder.severity, self.at_ms)
        found = self._found(ladder, reached)
        if not found or reached.missed:
            why = "; ".join(reached.missed)
            self._decide(ladder, "nobody on call", place, reason=why, people=reached.people)
        if found and reason == "unacknowledged" and ladder.event.is_said_again:  # as everybody who heard is told
            found = {name: channel for name, channel in found.items() if record.told.get(name) != channel.type}
            if not found:
                ladder.took(place, self.at_ms)
                return
        if not found:
            ladder.found_nobody(place, policy, self.at_ms)
        elif ladder.is_first and place == 0 and reason == "unanswered" and policy.wait_ms(0) == 0:
            self._tell_first(record, ladder, reached, found)
            ladder.took(place, self.at_ms)
        else:
            self._ask(ladder, place, reason, reached, found)

    def _found(self, ladder: Ladder, reached: Reached) -> dict[str, Channel]:
        named_by = f"the escalation policy {ladder.policy}"
        found, missing = find_channels(reached.channels, self.channels, self.types, named_by)
        self.unroutable.extend(unroutable(ladder.event, name, why) for name, why in missing.items())
        return found

    def _tell_first(self, record: RouteRecord, ladder: Ladder, reached: Reached, found: Mapping[str, Channel]) -> None:
        """The first step says that it fires; whom the rule itself told just now has heard."""
        new = {name: channel for name, channel in found.items() if name not in record.told}
        said = self._tell(record, ladder.event, new.values())
        self._decide(ladder, "sent", 0, reason="first", people=reached.people, sent=said)

    def _tell_step(self, record: RouteRecord, event: AlertEvent, step: Escalation) -> None:
        known = [self.channels[name] for name in step.channels if name in self.channels]
        said = self._tell(record, event, [channel for channel in known if channel.type in self.types])
        self.decisions.append(
            _decision(event, "sent", self.at_ms, step.policy, step.step, step.reason, people=step.people, sent=said)
        )

    def _tell(self, record: RouteRecord, event: AlertEvent, channels: Iterable[Channel]) -> list[Notification]:
        told = [channel for channel in channels if channel.enabled]
        record.told = {**record.told, **{channel.id: channel.type for channel in told}}
        late = format_instant(self.at_ms)
        said = [msgspec.structs.replace(notification(event, channel), created_at=late) for channel in told]
        self.notifications.extend(said)
        return said

    def _ask(self, ladder: Ladder, place: int, reason: Reason, reached: Reached, found: Collection[str]) -> None:
        step = Escalation(
            policy=ladder.policy,
            step=place + 1,
            round=ladder.round + 1,
            reason=reason,
            people=reached.people,
            channels=tuple(found),
        )
        who = ", ".join(reached.people or found)
        self._command(ladder, place, "escalate", f"step {place + 1} of {ladder.policy}: {who}", step)

    def _end_round(self, ladder: Ladder, policy: EscalationPolicy) -> None:
        if ladder.end_round(policy):
            return
        self._decide(ladder, "policy over", len(policy.steps) - 1, reason=policy.at_end)
        if policy.at_end == "resolve":
            said = f"nobody answered, and {policy.id} resolves what nobody answers"
            self._command(ladder, len(policy.steps), "resolve", said)
        else:
            ladder.is_over = True

    def _command(self, ladder: Ladder, place: int, kind: str, comment: str, step: Escalation | None = None) -> None:
        event = ladder.event
        ladder.place, ladder.asked, ladder.asked_ms = place, event.sequence, self.at_ms
        self.commands.append(
            Command(
                id=stable_id(kind, event.fingerprint, event.starts_at, event.sequence),
                type="escalate" if step else "resolve",
                fingerprint=event.fingerprint,
                actor=ACTOR,
                at_ms=self.at_ms,
                comment=comment,
                starts_at=event.starts_at,
                sequence=event.sequence,
                escalation=step,
            )
        )

    def _decide(
        self,
        ladder: Ladder,
        outcome: Outcome,
        place: int = -1,
        *,
        reason: str = "",
        by: tuple[str, ...] = (),
        people: tuple[str, ...] = (),
        sent: Iterable[Notification] = (),
        until_ms: int = 0,
    ) -> None:
        """Written when it differs from the one before."""
        said = f"{outcome} {ladder.policy} {ladder.round} {place} {' '.join(by)}"
        if said == ladder.said:
            return
        ladder.said = said
        self.decisions.append(
            _decision(
                ladder.event,
                outcome,
                self.at_ms,
                ladder.policy,
                place + 1,
                reason,
                by=by,
                people=people,
                sent=sent,
                until_ms=until_ms,
            )
        )


def _decision(
    event: AlertEvent,
    outcome: Outcome,
    at_ms: int,
    policy: str,
    step: int,
    reason: str,
    *,
    by: tuple[str, ...] = (),
    people: tuple[str, ...] = (),
    sent: Iterable[Notification] = (),
    until_ms: int = 0,
) -> Decision:
    return decision(
        event,
        outcome,
        at_ms,
        (event.id, at_ms, outcome, policy, step),
        sent=sent,
        until_ms=until_ms,
        reason=reason,
        by=by,
        policy=policy,
        step=step,
        people=people,
    )
