"""What every service is started with."""

from dataclasses import dataclass
from pathlib import Path

from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class Context:
    """Settings in force, the cluster they lead to, the names of its topics, and a directory that is ours."""

    settings: Settings
    connection: KafkaConnection
    topics: Topics
    data_dir: Path

    def group(self, name: str) -> str:
        """The full name of a consumer group: `tocsin.evaluate`."""
        return f"{self.topics.prefix}{name}"
