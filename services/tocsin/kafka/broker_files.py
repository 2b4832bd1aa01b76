"""What the broker reads: its properties, its logging, and the Java command line. Text in, text out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
NODE_ID = 1

# A single node on a small machine. Topics are declared, never made by a typo (auto.create). The broker's own topics
# have few partitions, since each costs files and start time. The log cleaner's buffer is 128 MiB by default; 16 MiB
# hold 700,000 keys. Committed offsets outlive a month in which the machine was off (default: a week). After kill -9
# the controller takes the same node back only when its old session has run out (default: 9 s).
_SMALL_MACHINE = {
    "auto.create.topics.enable": "false",
    "num.partitions": "4",
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "offsets.retention.minutes": str(60 * 24 * 30),
    "transaction.state.log.num.partitions": "2",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "message.max.bytes": str(2 * 1024 * 1024),
    "replica.fetch.max.bytes": str(2 * 1024 * 1024),
    "log.retention.hours": str(24 * 7),
    "log.segment.bytes": str(128 * 1024 * 1024),
    "log.index.size.max.bytes": str(1024 * 1024),
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
}

_LOGGING = """\
# Written by tocsin at every start. Warnings and errors only, 3 files of 5 MiB at most.
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:tocsin.log.dir}/broker.log
appender.file.filePattern = ${sys:tocsin.log.dir}/broker.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 5MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""


@dataclass(frozen=True, slots=True)
class BrokerPaths:
    """Where everything of one broker lies."""

    home: Path

    @property
    def records(self) -> Path:
        return self.home / "data"

    @property
    def meta_properties(self) -> Path:
        return self.records / "meta.properties"

    @property
    def properties(self) -> Path:
        return self.home / "server.properties"

    @property
    def logging(self) -> Path:
        return self.home / "log4j2.properties"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "broker.log"

    @property
    def output(self) -> Path:
        """What the Java process prints itself, before and beside its log."""
        return self.logs / "java.out"

    @property
    def scratch(self) -> Path:
        """The codecs' native libraries are unpacked here; /tmp may forbid executing them."""
        return self.home / "tmp"

    @property
    def lock(self) -> Path:
        return self.home / "in-use.lock"

    @property
    def running(self) -> Path:
        """Process id and port of a broker that was started detached."""
        return self.home / "running.json"


def server_properties(paths: BrokerPaths, port: int, controller_port: int) -> str:
    """The text of `server.properties`: one KRaft node that is broker and controller, on the loopback address only."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(paths.records),
        **_SMALL_MACHINE,
    }
    lines = [f"{name}={escape_property(value)}" for name, value in settings.items()]
    return "# Written by tocsin at every start; changes are lost.\n" + "\n".join(lines) + "\n"


def escape_property(value: str) -> str:
    """A value as a Java properties file wants it: ASCII, backslashes doubled."""
    units = value.replace("\\", "\\\\").encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)


def parse_properties(text: str) -> Mapping[str, str]:
    """Reads `name=value` lines, enough for the `meta.properties` that Kafka writes."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def logging_properties() -> str:
    """The text of the broker's log4j2 configuration."""
    return _LOGGING


def java_command(java: Path, class_path: Sequence[Path], paths: BrokerPaths, heap_mb: int) -> list[str]:
    """The command up to the main class: small, quiet, and nothing outside the data directory."""
    return [
        str(java),
        "-Xms64m",
        f"-Xmx{heap_mb}m",
        # First compiler only: a third less CPU until it is ready, 30 MiB less memory (measured; 3.4 s against 5.2 s).
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-XX:ErrorFile={paths.logs}/java-crash-%p.log",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={paths.scratch}",
        f"-Dtocsin.log.dir={paths.logs}",
        f"-Dlog4j2.configurationFile={paths.logging.as_uri()}",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        "-cp",
        os.pathsep.join(map(str, class_path)),
    ]
