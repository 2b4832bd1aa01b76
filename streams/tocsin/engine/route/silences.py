"""The silences there are, and which of them keep an alert quiet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tocsin.engine.route.reminders import RULE_ID, SILENCE
from tocsin.schemas.matcher import matches_all
from tocsin.schemas.silence import Silence, Window


@dataclass(slots=True)
class _Entry:
    """A silence, and its window that is not over at the time it was last asked for; None when there is none left."""

    silence: Silence
    window: Window | None = None
    asked_ms: int = -1

    def holds(self, at_ms: int) -> bool:
        if self.asked_ms < 0 or at_ms < self.asked_ms or (self.window is not None and at_ms >= self.window[1]):
            found = self.silence.windows(at_ms)
            self.window, self.asked_ms = found[0] if found else None, at_ms
        return self.window is not None and self.window[0] <= at_ms < self.window[1]


class Silences:
    """Silences by id."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Silence]:
        return (entry.silence for entry in self._entries.values())

    def put(self, silence_id: str, silence: Silence | None) -> None:
        """Set or delete one."""
        if silence is None:
            self._entries.pop(silence_id, None)
        else:
            self._entries[silence_id] = _Entry(silence)

    def matching(self, labels: Mapping[str, str], fired_ms: int, at_ms: int) -> tuple[str, ...]:
        """The ids of those in force that match an alert, in order."""
        return tuple(
            name
            for name, entry in sorted(self._entries.items())
            if entry.holds(at_ms) and applies(entry.silence, labels, fired_ms)
        )


def applies(silence: Silence, labels: Mapping[str, str], fired_ms: int) -> bool:
    """Whether a silence is about an alert, whenever it is in force. That it ends is not."""
    if silence.ends_with_alert and fired_ms > silence.starts_at:
        return False
    is_its_end = labels.get("alertname") == RULE_ID and labels.get(SILENCE) == silence.id
    return not is_its_end and matches_all(silence.match, labels)
