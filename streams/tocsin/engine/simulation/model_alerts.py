"""What becomes of a rule's signals and people's commands, by the definitions: the oracle of lifecycle."""

from collections.abc import Callable
from typing import NamedTuple

from tocsin.engine.simulation.model_rules import Said
from tocsin.schemas.command import Command
from tocsin.schemas.instant import format_instant
from tocsin.schemas.kinds import Severity
from tocsin.schemas.labels import stable_id
from tocsin.schemas.rule import Rule


class Foreseen(NamedTuple):
    """An alert event, as far as it can be foreseen."""

    id: str
    type: str
    status: str
    sequence: int
    severity: str
    starts_at: str
    updated_at: str
    value: float | None
    reason: str
    actor: str | None
    acknowledged_by: str | None


class Care(NamedTuple):
    """That somebody takes care, or put it off: who, with which words, until when, and how often others are reminded."""

    by: str
    until_ms: int | None
    every_ms: int
    is_snooze: bool


class AlertModel:
    """One fingerprint: who said what, and when, becomes what happened."""

    def __init__(self, fingerprint: str, rule_at: Callable[[int], Rule]) -> None:
        self._fingerprint, self._rule_at = fingerprint, rule_at
        self.events: list[Foreseen] = []
        self._status, self._severity = "", ""
        self._value: float | None = None
        self._care: Care | None = None
        self._remind_ms: int | None = None
        self._end_ms: int | None = None
        self._condition = "rest"
        self._episode_ms, self._count = -1, 0
        self._commands: set[str] = set()

    @property
    def status(self) -> str:
        """`pending`, `firing`, `acknowledged`, `resolved`, or empty when there is no alert."""
        return self._status

    @property
    def _is_active(self) -> bool:
        return self._status in ("firing", "acknowledged")

    def hear(self, said: Said) -> None:
        """A signal."""
        rule = self._rule_at(said.revision)
        severity = str(rule.steps[said.level].severity)
        was, self._condition = self._condition, "rest" if said.kind == "ended" else said.kind
        if said.kind in ("firing", "changed"):
            self._end_ms = None
        if said.kind == "ended":
            if self._status == "pending":
                self._status = ""
            elif self._is_active and was in ("firing", "changed"):
                self._happen("resolved", "resolved", said, severity)
        elif said.kind == "changed" or (said.kind == "firing" and self._is_active and was in ("rest", "pending")):
            self._change(said, severity)
        elif not self._is_active and self._status != said.kind:
            if self._status != "pending":
                self._begin(said.since_ms)
            self._happen(said.kind, said.kind, said, severity)

    def _change(self, said: Said, severity: str) -> None:
        """Another severity, or the condition of what was raised by hand holds: what is worse is nobody's, also where
        somebody had resolved it."""
        is_worse = bool(self._severity) and Severity(severity).rank > Severity(self._severity).rank
        if self._is_active:
            self._care = None if is_worse else self._care
            self._happen("changed", "firing" if is_worse else self._status, said, severity)
        elif is_worse and self._status == "resolved":
            self._begin(said.at_ms)
            self._happen("firing", "firing", said, severity)

    def _begin(self, at_ms: int) -> None:
        if self._episode_ms != at_ms:
            self._episode_ms, self._count = at_ms, 0
        self._status, self._care = "", None

    def _happen(self, kind: str, status: str, said: Said, severity: str) -> None:
        learns = self._rule_at(said.revision).learns
        self._severity, self._value = severity, said.measured if learns else said.value
        reason = "condition" if said.kind == "changed" else said.reason
        self._write(kind, status, said.at_ms, reason, None)

    def wait(self, now_ms: int) -> None:
        """Time passes: whatever ends, or is to be said again, by now."""
        while self._is_active:
            care = self._care if self._status == "acknowledged" else None
            ends = [
                (self._end_ms, 0),
                (care.until_ms if care else None, 1),
                (self._remind_ms if care else None, 2),
            ]
            due = min(((at_ms, what) for at_ms, what in ends if at_ms is not None), default=None)
            if due is None or due[0] > now_ms:
                return
            self._fall_due(due[0], due[1], now_ms)

    def _fall_due(self, at_ms: int, what: int, now_ms: int) -> None:
        care = self._care
        if what == 0:
            self._write("resolved", "resolved", at_ms, "time over", None)
            return
        assert care is not None
        if what == 1:
            self._care = None
            reason = "snooze over" if care.is_snooze else "acknowledgement over"
            self._write("unacknowledged", "firing", at_ms, reason, None)
            return
        self._write("reminded", "acknowledged", at_ms, "reminder", None)
        while at_ms <= now_ms:
            at_ms += care.every_ms
        self._remind_ms = at_ms

    def obey(self, command: Command) -> None:
        """A command; one that comes again says nothing new."""
        if command.id in self._commands:
            return
        self._commands.add(command.id)
        self.wait(command.at_ms)
        if command.type == "trigger":
            self._trigger(command)
        elif not self._is_active or command.starts_at not in (None, format_instant(self._episode_ms)):
            return
        elif command.type == "resolve":
            self._write("resolved", "resolved", command.at_ms, "manual", command.actor)
        elif command.type in ("acknowledge", "snooze"):
            self._take_care(command)
        elif command.type == "unacknowledge" and self._status == "acknowledged":
            self._care = None
            self._write("unacknowledged", "firing", command.at_ms, "manual", command.actor)

    def _take_care(self, command: Command) -> None:
        care = Care(command.actor, command.until_ms, command.remind_every_ms, command.type == "snooze")
        if care == self._care or (care.is_snooze and care.until_ms is None):
            return
        self._care = care
        self._write("acknowledged", "acknowledged", command.at_ms, "manual", command.actor)
        self._remind_ms = command.at_ms + care.every_ms if care.every_ms else None

    def _trigger(self, command: Command) -> None:
        trigger = command.trigger
        assert trigger is not None
        if self._is_active:
            return
        if self._status != "pending":
            self._begin(command.at_ms)
        self._severity, self._value = trigger.severity, trigger.value
        self._write("firing", "firing", command.at_ms, "manual", command.actor)
        self._end_ms = command.until_ms

    def _write(self, kind: str, status: str, at_ms: int, reason: str, actor: str | None) -> None:
        self._count += 1
        self._status = status
        if kind in ("firing", "resolved"):
            self._end_ms = None
        self.events.append(
            Foreseen(
                stable_id("event", self._fingerprint, self._episode_ms, self._count),
                kind,
                status,
                len(self.events) + 1,
                self._severity,
                format_instant(self._episode_ms),
                format_instant(at_ms),
                self._value,
                reason,
                actor,
                self._care.by if self._care else None,
            )
        )
