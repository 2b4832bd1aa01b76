"""What history is made of: samples into the store, and what is no sample counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import orjson

from tocsin.backtest.store import Store
from tocsin.engine.frame import Floats, Ints
from tocsin.engine.ingest.codecs import CODECS
from tocsin.schemas.instant import MAX_MS
from tocsin.schemas.metric import Reject

Place = Callable[[int], str]
"""Where the message or row of an index stands, for people."""
_EXAMPLES: Final = 3
_MOST_SHOWN: Final = 60  # characters of a cell
_NONE: Final = -1  # no time, or one beyond 64 bits


@dataclass(slots=True)
class Intake:
    """Fills a store. `rejected` counts dead letters by reason, `examples` shows the first of each, with their place."""

    store: Store
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def reject(self, place: str, reject: Reject) -> None:
        """Something is no sample."""
        self.rejected[reject.reason] += 1
        shown = self.examples.setdefault(reject.reason, [])
        if len(shown) < _EXAMPLES:
            shown.append(f"{place}: {reject.detail}")

    def json(self, place: Place, messages: Sequence[bytes], times_ms: Sequence[int] | None = None) -> None:
        """Messages as they lie on a metrics topic; `times_ms` are the message's own times, where they have any."""
        columns = CODECS["json"](messages)
        owners = range(len(messages)) if columns.message is None else columns.message
        for unread in columns.unread:
            self.reject(place(unread.message), unread.reject)
        if not columns.values:
            return
        interner = self.store.interner
        numbers = interner.numbers(columns)
        try:
            at_ms = np.array(columns.timestamps, np.int64)
        except (TypeError, OverflowError):
            own = times_ms or [_NONE] * len(messages)
            at_ms = np.array(
                [
                    own[owner] if stamp is None else min(max(stamp, _NONE), MAX_MS + 1)
                    for owner, stamp in zip(owners, columns.timestamps, strict=True)
                ],
                np.int64,
            )
        self.add(place, owners, numbers, at_ms, np.array(columns.values, np.float64))

    def number(self, name: str, labels: bytes, unit: str | None) -> int:
        """The number of a series as spelt."""
        return self.store.interner.number(name, labels, unit)

    def series(self, name: str, labels: dict[str, str], unit: str | None) -> int:
        """The number of a series."""
        return self.number(name, orjson.dumps(labels), unit)

    def add(
        self,
        place: Place,
        owners: Sequence[int],
        number: Ints,
        at_ms: Ints,
        values: Floats,
        cells: Callable[[int], tuple[str, str]] | None = None,
    ) -> None:
        """Samples in columns; of each, `owners` says which place it came from, and `cells` how its value and its time
        were written, where that was text."""
        usable = (at_ms >= 0) & (at_ms <= MAX_MS) & np.isfinite(values) & (self.store.interner.partition[number] >= 0)
        if not usable.all():
            for index in np.flatnonzero(~usable).tolist():
                written = cells(index) if cells else None
                why = self._why(int(number[index]), int(at_ms[index]), float(values[index]), written)
                self.reject(place(owners[index]), why)
            number, at_ms, values = number[usable], at_ms[usable], values[usable]
        self.store.add(number, at_ms, values)

    def _why(self, number: int, at_ms: int, value: float, written: tuple[str, str] | None) -> Reject:
        known = self.store.interner.rejects.get(number)
        if known is not None:
            return known
        if not np.isfinite(value):
            text = repr(written[0][:_MOST_SHOWN]) if written else value
            return Reject("value", f"{text} is not a finite number" if text != "''" else "there is no value; add one")
        if at_ms == _NONE and written and written[1]:
            mend = "write epoch milliseconds, or 2026-03-02 10:00:00"
            return Reject("timestamp", f"{written[1][:_MOST_SHOWN]!r} is not a time; {mend}")
        if at_ms == _NONE:
            return Reject("timestamp", "there is no time; add a timestamp")
        return Reject("timestamp", f"{at_ms} ms lies before 1970 or after 9999")
