"""The name under which a worker is known to its group, also after it was killed and started again.

Without one the broker cannot tell the new process from a stranger: it waits until the session of the killed one has run
out before it gives its partitions away. The name lies beside the worker's tables, and is held by a lock that ends with
the process: a second worker on the same directory goes without.
"""

import fcntl
import os
from pathlib import Path
from uuid import uuid4

_FILE = "instance"


def claim_instance(directory: Path) -> str | None:
    """The name, held from now on until this process ends; None where another worker holds it, or nothing can."""
    try:
        file = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        name = os.pread(file, 64, 0).decode("ascii", "replace")
        if not name:
            name = uuid4().hex
            os.pwrite(file, name.encode(), 0)
    except OSError:
        return None
    return name
