"""Test tools that ship with tocsin: a real Kafka, waiting on conditions, reading topics, ports."""

from tocsin.testing.kafka import collect, create_topics, delete_topics, shared_broker
from tocsin.testing.ports import own_port
from tocsin.testing.waiting import eventually, eventually_sync, pause

__all__ = [
    "collect",
    "create_topics",
    "delete_topics",
    "eventually",
    "eventually_sync",
    "own_port",
    "pause",
    "shared_broker",
]
