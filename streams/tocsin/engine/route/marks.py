"""How far everything is that comes before route, by `marks`: whether an alert that fired by a time can still come."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tocsin.schemas.mark import Late, Mark, Passed

_MOST_WAITING: Final = 1_000  # of one partition, one a second


@dataclass(frozen=True, slots=True)
class Reached:
    """Every alert that samples up to `watermark_ms` let fire has its state on `alert-state`; of those that come `late`,
    up to so long before."""

    watermark_ms: int = -(2**62)
    late: tuple[Late, ...] = ()


class Marks:
    """The marks of all stages. What a mark says is reached once lifecycle has worked off the signals before it."""

    def __init__(self, partitions: int = 1) -> None:
        self._partitions: Final = range(partitions)
        self._waiting: dict[str, deque[Passed]] = {}
        self._passed: dict[str, Passed] = {}
        self._positions: dict[int, int] = {}  # the farthest that lifecycle ever was
        self._stated: dict[int, int] = {}  # what its last mark says: one that stood still may have set it back
        self._ends: dict[int, int] = {}
        self._reached: Reached | None = None  # until another mark counts

    def put(self, name: str, mark: Mark) -> None:
        """A partition of a stage says how far it is; what it said before stays true."""
        stage, _, number = name.partition("/")
        if isinstance(mark, Passed):
            self._waiting.setdefault(name, deque(maxlen=_MOST_WAITING)).append(mark)
            self._ends |= {at: end for at, end in enumerate(mark.ends) if end > self._ends.get(at, 0)}
            self._confirm(name)
        elif stage == "lifecycle" and number.isdecimal():
            partition = int(number)
            self._stated[partition] = mark.position
            if mark.position > self._positions.get(partition, 0):
                self._positions[partition] = mark.position
                for waiting in self._waiting:
                    self._confirm(waiting)

    @property
    def reached(self) -> Reached:
        """What all of them come to."""
        if self._reached is None:
            self._reached = self._all_passed()
        return self._reached

    def stated(self, partition: int) -> int:
        """Which signals of a partition lifecycle says it has worked off: those before this offset."""
        return self._stated.get(partition, 0)

    def wanted(self, partition: int) -> int:
        """Up to which offset marks wait for it to say so, at the farthest; 0 if it does."""
        end = self._ends.get(partition, 0)
        return end if end > self.stated(partition) else 0

    def _confirm(self, name: str) -> None:
        waiting = self._waiting[name]
        while waiting and all(end <= self._positions.get(at, 0) for at, end in enumerate(waiting[0].ends)):
            mark = waiting.popleft()
            if name not in self._passed or mark.watermark_ms >= self._passed[name].watermark_ms:
                self._passed[name], self._reached = mark, None

    def _all_passed(self) -> Reached:
        judged = [self._passed.get(name) for name in self._names("evaluate")]
        if any(one is not None and one.shares for one in judged):
            judged += [self._passed.get(name) for name in self._names("combine")]
        passed = [one for one in judged if one is not None]
        if len(passed) < len(judged):
            return Reached()
        late = dict.fromkeys(late for one in passed for late in one.late)
        return Reached(min(one.watermark_ms for one in passed), tuple(late))

    def _names(self, stage: str) -> Iterator[str]:
        return (f"{stage}/{partition}" for partition in self._partitions)
