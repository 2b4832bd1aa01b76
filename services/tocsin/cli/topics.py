"""`tocsin topics create` and `check`: every topic with its partitions, retention and compaction."""

from __future__ import annotations

import os
from pathlib import Path

from tocsin.cli.failures import Failure, run
from tocsin.cli.options import Config, Format, Output, command, group
from tocsin.cli.printing import print_items, remark

app = group("topics", "Declare or verify every topic.")
_COLUMNS = {
    "TOPIC": "topic",
    "PARTITIONS": "partitions",
    "REPLICAS": "replicas",
    "CLEANUP": "cleanup",
    "PROBLEM": "problem",
}


@command(app, "tocsin topics create")
def create(output: Format = Output.TABLE, config: Config = None) -> None:
    """Create what is missing, and verify the rest; what exists is never altered."""
    _report(config, output, may_create=True)


@command(app, "tocsin topics check --output json")
def check(output: Format = Output.TABLE, config: Config = None) -> None:
    """Verify that every topic is as declared; exit code 1 names what is not."""
    _report(config, output, may_create=False)


def _report(config: Path | None, output: Output, *, may_create: bool) -> None:
    from tocsin.config import context, load
    from tocsin.kafka.admin import check_topics, ensure_topics
    from tocsin.supervisor.declared import declared_topics

    started = context(load(config, os.environ))
    specs = declared_topics(started.settings)
    problems = run((ensure_topics if may_create else check_topics)(started.connection, specs))
    by_topic = {problem.topic: problem.detail for problem in problems}
    rows = [
        {
            "topic": spec.name,
            "partitions": spec.partitions,
            "replicas": spec.replication_factor,
            "cleanup": spec.cleanup.value,
            "problem": by_topic.get(spec.name),
        }
        for spec in specs
    ]
    print_items(rows, _COLUMNS, output, "no topics")
    if problems:
        raise Failure(*map(str, problems))
    remark(f"{len(specs)} topics are as declared")
