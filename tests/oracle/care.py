"""What people do about one alert, slow and obvious: second by second, with a plain list of what is to come."""

from __future__ import annotations

from dataclasses import dataclass, field

RANK = {"warning": 1, "critical": 2}
Said = tuple[int, str, str, str]
"""Second, type, status, reason."""


@dataclass
class Care:
    """One fingerprint. `to_come` are things that happen by themselves: what, in which second."""

    status: str = ""
    condition: str = "rest"
    severity: str = ""
    care: tuple[object, ...] | None = None
    to_come: list[tuple[int, str]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def second(self, now_s: int) -> None:
        """A second begins."""
        for name in ("end", "care", "remind"):  # the end of an alert ends everything else
            if (now_s, name) not in self.to_come:
                continue
            self.to_come.remove((now_s, name))
            if name == "end":
                self.say(now_s, "resolved", "resolved", "time over")
            elif name == "care":
                assert self.care is not None
                reason = "snooze over" if self.care[0] == "snooze" else "acknowledgement over"
                self.say(now_s, "unacknowledged", "firing", reason)
            else:
                assert self.care is not None
                self.to_come.append((now_s + int(str(self.care[2])), "remind"))
                self.say(now_s, "reminded", "acknowledged", "reminder")

    def say(self, now_s: int, kind: str, status: str, reason: str) -> None:
        """Something happens, and with it everything ends that belongs to the state before."""
        self.status = status
        if status != "acknowledged":
            self.care = None
            self.to_come = [one for one in self.to_come if one[1] == "end"]
        if kind in ("firing", "resolved"):
            self.to_come = []
        self.said.append((now_s, kind, status, reason))

    @property
    def is_active(self) -> bool:
        """Whether somebody is to care."""
        return self.status in ("firing", "acknowledged")

    def signal(self, now_s: int, kind: str, severity: str) -> None:
        """The rule says something."""
        was, self.condition = self.condition, "rest" if kind == "ended" else "firing"
        if kind != "ended":
            self.to_come = [one for one in self.to_come if one[1] != "end"]
        is_worse = bool(self.severity) and RANK[severity] > RANK[self.severity]
        if kind == "ended":
            if was == "firing" and self.is_active:
                self.severity = severity
                self.say(now_s, "resolved", "resolved", "condition")
        elif self.is_active:
            if kind == "changed" or was == "rest":  # the condition of what was raised by hand holds now
                self.severity = severity
                self.say(now_s, "changed", "firing" if is_worse else self.status, "condition")
        elif kind == "firing" or (self.status == "resolved" and is_worse):
            self.severity = severity
            self.say(now_s, "firing", "firing", "condition")

    def command(self, now_s: int, kind: str, by: str, length_s: int, every_s: int) -> None:
        """A person says something; 0 for what they do not say."""
        if kind == "trigger" and not self.is_active:
            self.severity = "warning"
            self.say(now_s, "firing", "firing", "manual")
            if length_s:
                self.to_come.append((now_s + length_s, "end"))
        if kind == "trigger" or not self.is_active:
            return
        if kind == "resolve":
            self.say(now_s, "resolved", "resolved", "manual")
        elif kind == "unacknowledge" and self.status == "acknowledged":
            self.say(now_s, "unacknowledged", "firing", "manual")
        elif kind == "acknowledge" or (kind == "snooze" and length_s):
            wanted = kind, by, every_s, now_s + length_s if length_s else 0
            if self.care != wanted:
                self.say(now_s, "acknowledged", "acknowledged", "manual")
                self.care = wanted
                self.to_come = [one for one in self.to_come if one[1] == "end"]
                self.to_come += [(now_s + length_s, "care")] if length_s else []
                self.to_come += [(now_s + every_s, "remind")] if every_s else []
