"""Which alerts wait for a time, and for which: made of lifecycle's table when a partition comes."""

from tocsin.engine.lifecycle.record import DamagedRecord, wake_of
from tocsin.engine.run_table import Report, RunTable
from tocsin.engine.wakes import Wakes


def alarms_of(table: RunTable, partition: int, report: Report) -> Wakes:
    """The fingerprints of one partition by the time at which their next timer is due; `report` hears of what is
    damaged."""
    alarms = Wakes()
    alarms.update({key: _wake(table.get(partition, key), report) for key in table.keys(partition)})
    return alarms


def _wake(value: bytes | None, report: Report) -> int:
    try:
        return wake_of(value) if value else 0
    except DamagedRecord as error:
        report(f"an alert's record is damaged; its timers are gone: {error}")
        return 0
