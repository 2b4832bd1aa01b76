"""Which alerts wait for a time, and for which: made of lifecycle's table when a partition comes."""

import structlog

from tocsin.agents.run_table import RunTable
from tocsin.engine.lifecycle.record import DamagedRecord, wake_of
from tocsin.engine.wakes import Wakes

_log = structlog.get_logger("tocsin.lifecycle")


def alarms_of(table: RunTable, partition: int) -> Wakes:
    """The fingerprints of one partition by the time at which their next timer is due."""
    alarms = Wakes()
    alarms.update({key: _wake(table.get(partition, key)) for key in table.keys(partition)})
    return alarms


def _wake(value: bytes | None) -> int:
    try:
        return wake_of(value) if value else 0
    except DamagedRecord as error:
        _log.error("an alert's record is damaged; its timers are gone", error=str(error))
        return 0
