"""What `tocsin up` says when all is ready: where things are, and what to do first."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_METRIC = '{"name": "response_time", "value": 1500, "labels": {"service": "api"}}'
_RULE = "{id: slow, metric_type: response_time, operator: gt, threshold: 1000, notifications: [console]}"


@dataclass(frozen=True, slots=True)
class Facts:
    """`shown_settings` are the variables that a command in another terminal needs to find this `up`."""

    api_url: str
    bootstrap_servers: str
    topics: tuple[str, ...]
    data_dir: Path
    shown_settings: Mapping[str, str]
    new_token: str | None
    demo: bool
    seconds: float


def banner(facts: Facts) -> tuple[list[str], dict[str, Any]]:
    """The lines for people, and the same facts as fields."""
    command = _command(facts.shown_settings)
    first = f"echo '{_METRIC}' | {command} produce -"
    after = f"{command} alerts list" if facts.demo else f"echo '{_RULE}' | {command} rules apply -"
    kept = facts.data_dir / "api.token"
    lines = [
        f"tocsin is ready ({facts.seconds:.1f} s)",
        f"  dashboard  {facts.api_url}/{f'#token={facts.new_token}' if facts.new_token else ''}",
        f"  API        {facts.api_url}/api/v1  (described at {facts.api_url}/api/v1/docs)",
        f"  Kafka      {facts.bootstrap_servers}  (metrics topics: {', '.join(facts.topics)})",
        f"  token      {facts.new_token}  (shown this once)" if facts.new_token else f"  token      see {kept}",
        "",
        "Send a first metric, from another terminal:",
        f"  {first}",
        "Then try:",
        f"  {after}",
        "",
        "Ctrl-C stops everything.",
    ]
    fields: dict[str, Any] = {
        "api": facts.api_url,
        "kafka": facts.bootstrap_servers,
        "metrics_topics": list(facts.topics),
        "first_metric": first,
        "next": after,
        "seconds": round(facts.seconds, 1),
    }
    if facts.new_token:
        fields["token"] = facts.new_token
    return lines, fields


def _command(settings: Mapping[str, str]) -> str:
    """How to call this tocsin from where the user stands."""
    program = Path(sys.executable).with_name("tocsin")
    found = shutil.which("tocsin")
    name = "tocsin"
    if found is None or Path(found).resolve() != program.resolve():
        inside = program.is_relative_to(Path.cwd())
        name = str(program.relative_to(Path.cwd())) if inside else str(program)
        name = shlex.quote(name) if program.exists() else f"{shlex.quote(sys.executable)} -m tocsin"
    return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in settings.items()), name])
