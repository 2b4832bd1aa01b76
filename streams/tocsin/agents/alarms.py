"""Which alerts wait for a time, and for which: an index in memory, made of lifecycle's table when a partition comes."""

from collections.abc import Mapping
from typing import Final

import structlog

from tocsin.agents.run_table import RunTable
from tocsin.engine.lifecycle.record import DamagedRecord, wake_of

_log = structlog.get_logger("tocsin.lifecycle")


class Alarms:
    """Fingerprints of one partition by the time at which their next timer is due."""

    def __init__(self) -> None:
        self._at_ms: Final[dict[str, int]] = {}

    @classmethod
    def of(cls, table: RunTable, partition: int) -> "Alarms":
        """Those of what the table holds."""
        made = cls()
        made.put({key: _wake(table.get(partition, key)) for key in table.keys(partition)})
        return made

    def put(self, wakes: Mapping[str, int]) -> None:
        """Records are written, and are due at these times; 0 for never."""
        for fingerprint, at_ms in wakes.items():
            if at_ms:
                self._at_ms[fingerprint] = at_ms
            else:
                self._at_ms.pop(fingerprint, None)

    def __bool__(self) -> bool:
        return bool(self._at_ms)

    def due(self, now_ms: int) -> list[str]:
        """The fingerprints that are due by a time."""
        return [fingerprint for fingerprint, at_ms in self._at_ms.items() if at_ms <= now_ms]


def _wake(value: bytes | None) -> int:
    try:
        return wake_of(value) if value else 0
    except DamagedRecord as error:
        _log.error("an alert's record is damaged; its timers are gone", error=str(error))
        return 0
