"""What the embedded broker is told: loopback only, and any path survives Java's properties format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.kafka.broker_files import BrokerPaths, escape_property, parse_properties, server_properties
from tocsin.kafka.wire import probe


def test_every_listener_is_on_the_loopback_address() -> None:
    settings = parse_properties(server_properties(BrokerPaths(Path("/data")), 9092, 9093))
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert settings["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092"
    assert settings["log.dirs"] == "/data/data"
    assert settings["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("plain/path=1:2", "plain/path=1:2"),
        ("back\\slash", "back\\\\slash"),
        ("données", "donn\\u00e9es"),
        ("bell 🔔", "bell \\ud83d\\udd14"),
        ("line\nbreak", "line\\u000abreak"),
    ],
)
def test_values_are_written_as_java_reads_them(value: str, escaped: str) -> None:
    assert escape_property(value) == escaped


def test_properties_are_read_without_comments_and_blanks() -> None:
    assert parse_properties("#Mon Nov 24\ncluster.id = a=b \n\nversion=1\n") == {"cluster.id": "a=b", "version": "1"}


def test_a_port_where_nobody_listens_answers_nothing() -> None:
    assert probe("127.0.0.1", 1, 0.2) is None
