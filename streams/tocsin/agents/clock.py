"""What time it is: for the edge alone, which hands it on."""

import time


def clock_ms() -> int:
    """Epoch milliseconds by this machine's clock."""
    return time.time_ns() // 1_000_000
