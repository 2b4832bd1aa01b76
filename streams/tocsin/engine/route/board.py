"""Which alerts are active, by `alert-state`: the latest word on each, whatever comes after it.

An owner of lifecycle that stood still says what it had under way when others have gone on long since. What it says was
true once, and must neither end an alert that fired again nor bring back one that is over.
"""

from typing import Final

from tocsin.schemas.alert import AlertEvent, routing_labels

_MOST_GONE: Final = 100_000  # what is said late comes within minutes
_Word = tuple[int, str, bool]  # number, begin of the episode, whether it is active
_NOTHING: Final[_Word] = (0, "", False)


class Board:
    """The last word on each alert."""

    def __init__(self) -> None:
        self._last: dict[str, _Word] = {}
        self._gone: dict[str, _Word] = {}  # of alerts that there are no more, the longest ago first

    def is_news(self, fingerprint: str, event: AlertEvent | None) -> bool:
        """Whether a state, None where there is no alert, is not one from before the last word; if so it is that now.

        Numbers count, unless lifecycle lost its state and counts anew: then the episode is a later one. A state without
        an alert has no number, but never follows an active one.
        """
        number, began, is_active = last = self._last.get(fingerprint) or self._gone.get(fingerprint, _NOTHING)
        if event is None:
            if not is_active:
                self._leave(fingerprint, last)
            return not is_active
        if event.sequence < number and event.starts_at <= began:
            return False
        self._gone.pop(fingerprint, None)
        self._last[fingerprint] = event.sequence, event.starts_at, event.is_active
        return True

    def _leave(self, fingerprint: str, last: _Word) -> None:
        if self._last.pop(fingerprint, None):
            self._gone[fingerprint] = last
            if len(self._gone) > _MOST_GONE:
                del self._gone[next(iter(self._gone))]


def labels_on_board(event: AlertEvent | None) -> dict[str, str] | None:
    """What inhibitions see of an alert; None of one that hides nothing: it is not active, or an exercise."""
    return routing_labels(event) if event and event.is_active and not event.drill else None
