"""The README's commands work as written, and the generated pages are those of this version."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from tocsin.config.reference import json_schema, markdown
from tocsin.documents import parse
from tocsin.schemas.rule import Rule
from tocsin.testing import eventually, own_port

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
# `.ci/run` runs these.
MAKE = {"make run", "make test", "make demo", "make lint", "make bench"}
PROGRAM = ".venv/bin/tocsin"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and line not in MAKE]


def test_every_command_is_one_that_is_run() -> None:
    assert [line for line in commands() if PROGRAM not in line] == []
    assert len(commands()) >= 8


def test_the_rule_in_the_readme_is_a_rule() -> None:
    blocks = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    rules = [block for block in blocks if "metric_type" in block]
    assert [Rule.model_validate(parse(block.encode(), "README").value).id for block in rules] == ["high_response_time"]


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_reference_of_settings_is_of_this_version() -> None:
    mend = "run `tocsin config reference > docs/settings.md` and `tocsin config schema > docs/settings.schema.json`"
    assert (ROOT / "docs/settings.md").read_text("utf-8") == markdown(), mend
    assert json.loads((ROOT / "docs/settings.schema.json").read_text("utf-8")) == json_schema(), mend


async def test_its_commands_lead_to_an_alert(kafka: str, tmp_path: Path, topic_prefix: str) -> None:
    port = own_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")},
        "TOCSIN_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOCSIN_KAFKA_TOPIC_PREFIX": topic_prefix,
        "TOCSIN_KAFKA_PARTITIONS": "2",
        "TOCSIN_METRICS_TOPICS": f"{topic_prefix}metrics",
        "TOCSIN_DATA_DIR": str(tmp_path / "data"),
        "TOCSIN_API_PORT": str(port),
        "TOCSIN_LOG_FORMAT": "console",
    }
    log = tmp_path / "up.log"
    with log.open("wb") as output:
        up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tocsin", "up", env=environment, stdout=output, stderr=output
        )
    try:
        await eventually(lambda: _says(log, "tocsin is ready"), 60, "ready")
        for command in commands():
            await _run(command.replace(PROGRAM, f"{sys.executable} -m tocsin"), environment)
        await eventually(lambda: _says(log, "FIRING warning: slow"), 40, "the notification on the console")
        listed = await _run(f"{sys.executable} -m tocsin alerts list --output json", environment)
        assert '"rule_id": "slow"' in listed
    finally:
        if up.returncode is None:
            up.terminate()
        code = await asyncio.wait_for(up.wait(), 40)
    assert code == 0, log.read_text("utf-8")[-3_000:]


async def _run(command: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-o",
        "pipefail",
        "-c",
        command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, f"{command}\n{said.decode()}"
    return said.decode()


def _says(log: Path, text: str) -> bool:
    return text in log.read_text("utf-8", "replace")
