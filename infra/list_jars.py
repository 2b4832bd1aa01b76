"""Writes `services/tocsin/kafka/jars.sha256`: resolves the class path of the embedded Kafka version and hashes it.

Run by hand (`make jars`) after KAFKA_VERSION was raised. Resolution happens here and only here; users fetch what the
list says.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import jgo
from jgo.maven import MavenContext

from tocsin.kafka.jars import KAFKA_VERSION

_TARGET = Path(__file__).parent.parent / "services" / "tocsin" / "kafka" / "jars.sha256"
_HEAD = """\
# The class path of the embedded Apache Kafka broker: SHA-256 of each jar, and its Maven coordinates.
# A jar whose bytes differ from this list is never started. Written by `make jars`.
"""


def main() -> None:
    """Resolves, hashes, writes."""
    context = MavenContext()
    kafka = jgo.resolve(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
    wanted = [(artifact.groupId, artifact.artifactId, artifact.version) for artifact in kafka]
    # Kafka's own distribution has it, its POM does not; without it the broker logs nothing.
    (log4j,) = {
        version for group, name, version in wanted if (group, name) == ("org.apache.logging.log4j", "log4j-core")
    }
    wanted.append(("org.apache.logging.log4j", "log4j-slf4j-impl", log4j))
    lines = []
    for group, name, version in sorted(wanted):
        jar = context.project(group, name).at_version(version).artifact(packaging="jar").resolve()
        lines.append(f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {group}:{name}:{version}\n")
    _TARGET.write_text(_HEAD + "".join(lines), "utf-8")
    print(f"{len(lines)} jars of Kafka {KAFKA_VERSION} listed in {_TARGET}")


if __name__ == "__main__":
    main()
