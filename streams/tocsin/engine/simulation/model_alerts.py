"""What becomes of a rule's signals and people's commands, by the definitions: the oracle of lifecycle and route."""

from collections.abc import Callable
from typing import NamedTuple

from tocsin.engine.simulation.model_rules import Said
from tocsin.schemas.channel import Channel
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


class AlertModel:
    """One fingerprint: who said what becomes what happened."""

    def __init__(self, fingerprint: str, rule_at: Callable[[int], Rule]) -> None:
        self._fingerprint, self._rule_at = fingerprint, rule_at
        self.events: list[Foreseen] = []
        self.names: list[tuple[str, ...]] = []  # the channels of each event's rule
        self._status, self._severity = "", ""
        self._value: float | None = None
        self._by: str | None = None
        self._condition = "rest"
        self._episode_ms, self._count = -1, 0
        self._names: tuple[str, ...] = ()
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
        if said.kind == "ended":
            if self._status == "pending":
                self._status = ""
            elif self._is_active and was in ("firing", "changed"):
                self._happen("resolved", "resolved", said, severity, rule)
        elif said.kind == "changed":
            if self._is_active:
                is_worse = Severity(severity).rank > Severity(self._severity).rank
                self._by = None if is_worse else self._by
                self._happen("changed", "firing" if is_worse else self._status, said, severity, rule)
        elif not self._is_active and self._status != said.kind:
            if self._status != "pending":
                self._begin(said.since_ms)
            self._happen(said.kind, said.kind, said, severity, rule)

    def _begin(self, at_ms: int) -> None:
        if self._episode_ms != at_ms:
            self._episode_ms, self._count = at_ms, 0
        self._status, self._by = "", None

    def _happen(self, kind: str, status: str, said: Said, severity: str, rule: Rule) -> None:
        self._severity, self._value, self._names = severity, said.value, rule.notifications
        reason = "condition" if kind == "changed" else said.reason
        self._write(kind, status, said.at_ms, reason, None)

    def obey(self, command: Command) -> None:
        """A command; one that comes again says nothing new."""
        if command.id in self._commands:
            return
        self._commands.add(command.id)
        if command.type == "trigger":
            self._trigger(command)
        elif not self._is_active or command.starts_at not in (None, format_instant(self._episode_ms)):
            return
        elif command.type == "resolve":
            self._write("resolved", "resolved", command.at_ms, "manual", command.actor)
        elif command.type == "acknowledge" and self._by != command.actor:
            self._by = command.actor
            self._write("acknowledged", "acknowledged", command.at_ms, "manual", command.actor)
        elif command.type == "unacknowledge" and self._status == "acknowledged":
            self._by = None
            self._write("unacknowledged", "firing", command.at_ms, "manual", command.actor)

    def _trigger(self, command: Command) -> None:
        trigger = command.trigger
        assert trigger is not None
        if self._is_active:
            return
        if self._status != "pending":
            self._begin(command.at_ms)
        self._severity, self._value, self._names = trigger.severity, trigger.value, trigger.notifications
        self._write("firing", "firing", command.at_ms, "manual", command.actor)

    def _write(self, kind: str, status: str, at_ms: int, reason: str, actor: str | None) -> None:
        self._count += 1
        self._status = status
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
                self._by,
            )
        )
        self.names.append(self._names)

    def told(self, channels: list[Channel]) -> list[tuple[str, str]]:
        """Who hears of what: (channel id, notification id), in order."""
        found: list[tuple[str, str]] = []
        heard: list[Channel] = []
        for event, names in zip(self.events, self.names, strict=True):
            if event.type == "firing":
                heard = [c for c in channels if c.enabled and (c.id in names or c.type in names)]
            wanted = heard if event.type in ("firing", "changed") else []
            if event.type == "resolved":
                wanted, heard = [channel for channel in heard if channel.sends_resolved], []
            found += [(channel.id, stable_id("notification", event.id, channel.id)) for channel in wanted]
        return found
