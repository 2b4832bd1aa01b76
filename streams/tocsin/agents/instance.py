"""The name under which a worker is known to its group, also after it was killed and started again.

Without one the broker cannot tell the new process from a stranger: it waits until the session of the killed one has run
out before it gives its partitions away. The name lies beside the worker's tables, and is held by a lock that ends with
the process: a second worker on the same directory goes without. Two of one name would throw each other out of the group
again and again, so a copy of the directory is known by its file, whose number is another, and takes a name of its own.
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
        name, _, number = os.pread(file, 64, 0).decode("ascii", "replace").partition(" ")
        inode = str(os.fstat(file).st_ino)
        if not name or number != inode:
            name = uuid4().hex
            os.ftruncate(file, 0)
            os.pwrite(file, f"{name} {inode}".encode(), 0)
    except OSError:
        return None
    return name
