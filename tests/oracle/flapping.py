"""An alert that may flap, slow and obvious: second by second, with all changes there ever were."""

from __future__ import annotations

from dataclasses import dataclass, field

RANK = {"warning": 1, "critical": 2}
Said = tuple[int, str, str, str, str]
"""Second, type, status, severity, flapping."""


@dataclass
class Model:
    """One fingerprint of a rule with these settings."""

    changes: int
    within_s: int
    is_firing: bool = False  # the condition
    is_active: bool = False  # the alert
    severity: str = ""
    counted: list[int] = field(default_factory=list)
    flaps_since: int | None = None
    worst: int = 0
    said: list[Said] = field(default_factory=list)

    def second(self, now_s: int) -> None:
        """A second begins."""
        if self.flaps_since is not None and self.counted[-1] + self.within_s == now_s:
            self.flaps_since, self.counted = None, []
            if self.is_firing:
                self.said.append((now_s, "changed", "firing", self.severity, "stopped"))
            else:
                self.is_active = False
                self.said.append((now_s, "resolved", "resolved", self.severity, "stopped"))

    def signal(self, now_s: int, kind: str, severity: str) -> None:
        """The rule says something; what it cannot say now is left out."""
        if (kind == "firing") == self.is_firing or (kind == "changed" and severity == self.severity):
            return
        was_flapping, before = self.flaps_since is not None, self.severity
        self.is_firing = kind != "ended"
        self.severity = severity if kind != "ended" else self.severity
        self.counted.append(now_s)
        latest = [second for second in self.counted if now_s - second <= self.within_s]
        phase = ""
        if was_flapping:
            phase = "worse" if kind != "ended" and RANK[severity] > self.worst else "ongoing"
        elif len(latest) >= self.changes:
            self.flaps_since, phase = now_s, "started"
            self.worst = RANK[before] if before and kind != "firing" else 0
        self.worst = max(self.worst, RANK[self.severity])
        if kind == "ended" and not phase:
            self.is_active = False
            self.said.append((now_s, "resolved", "resolved", self.severity, ""))
        elif kind == "firing" and not self.is_active:
            self.is_active = True
            self.said.append((now_s, "firing", "firing", self.severity, phase))
        else:
            self.said.append((now_s, "changed", "firing", self.severity, phase))
