"""What waits for a time, by name: an index in memory of what stands in records."""

from collections.abc import Mapping


class Wakes:
    """Names, and the time at which each is to be looked at next."""

    def __init__(self) -> None:
        self._at_ms: dict[str, int] = {}

    def put(self, name: str, at_ms: int) -> None:
        """Look at it at this time; 0 is never."""
        if at_ms:
            self._at_ms[name] = at_ms
        else:
            self._at_ms.pop(name, None)

    def update(self, wakes: Mapping[str, int]) -> None:
        """The same for several."""
        for name, at_ms in wakes.items():
            self.put(name, at_ms)

    def __bool__(self) -> bool:
        return bool(self._at_ms)

    def due(self, now_ms: int) -> list[str]:
        """What is to be looked at by a time, in the order in which it began to wait."""
        return [name for name, at_ms in self._at_ms.items() if at_ms <= now_ms]

    def is_due(self, now_ms: int) -> bool:
        """Whether anything is to be looked at by a time."""
        return any(at_ms <= now_ms for at_ms in self._at_ms.values())
