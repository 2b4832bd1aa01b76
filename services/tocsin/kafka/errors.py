"""The two ways in which Kafka is not there, each told to the user in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class KafkaStartError(Exception):
    """The embedded broker could not be started.

    The text is one line: what is wrong and how to mend it. `log_path` and `log_tail` say more where the broker itself
    spoke before it died.
    """

    def __init__(self, message: str, *, log_path: Path | None = None, log_tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log_path = log_path
        self.log_tail = tuple(log_tail)


class KafkaUnreachable(Exception):
    """No broker answers at the address; the text names the address and the mend in one line."""

    def __init__(self, bootstrap_servers: str, reason: str) -> None:
        super().__init__(
            f"Kafka at {bootstrap_servers} cannot be reached ({reason}): "
            "check that it runs and that TOCSIN_KAFKA_BOOTSTRAP_SERVERS and the security settings name it rightly"
        )
        self.bootstrap_servers = bootstrap_servers
        self.reason = reason
