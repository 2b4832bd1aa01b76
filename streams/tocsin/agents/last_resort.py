"""The end of a worker that has crashed, by force if it does not come by itself."""

import logging
import os
import sys
import threading
from typing import Final

import structlog

_log = structlog.get_logger("tocsin.worker")
END_S: Final = 20.0


def end_by_force(after_s: float = END_S) -> None:
    """End this process some time from now with status 1, whatever it waits for; what it had not committed comes again.

    A worker that hangs is started anew by nobody, and stopping one awaits much: its consumer's thread, which may have
    ended first (`answered_thread.py` sees to that), Kafka, libraries.
    """
    timer = threading.Timer(after_s, _end, [after_s])
    timer.daemon = True
    timer.start()


def _end(after_s: float) -> None:
    _log.error("the worker crashed and could not stop; it is ended", waited_s=after_s)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
