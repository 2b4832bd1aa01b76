"""The scenarios, and what tocsin says of each: its configuration is imported as a user would import it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.routing.cases import BEGIN_MS, Driver, driver
from tests.semantics.routing.test_routing import named, timeline

from tocsin.alertmanager_file import imported
from tocsin.documents import read
from tocsin.schemas.channel import Channel
from tocsin.schemas.duration import parse_duration
from tocsin.schemas.instant import parse_instant

PATH = Path(__file__).with_name("scenarios.yaml")
RECEIVERS = {"hook": True, "pager": True, "brief": False}  # whether it wants to hear of the end
_CONFIGURATION = ("route", "inhibit_rules", "time_intervals")


@dataclass(frozen=True)
class Scenario:
    """Times are whole seconds. `ours` is what tocsin says where it differs on purpose."""

    name: str
    until: str
    alerts: Sequence[str]
    configuration: Mapping[str, Any]
    silences: Sequence[Mapping[str, Any]] = ()
    ours: Sequence[str] | None = None

    @property
    def until_s(self) -> int:
        """How long it lasts."""
        return parse_duration(self.until) // 1_000

    def file(self, url: str) -> dict[str, Any]:
        """The configuration with receivers below an address."""
        receivers = [
            {"name": name, "webhook_configs": [{"url": f"{url}/{name}", "send_resolved": wanted}]}
            for name, wanted in RECEIVERS.items()
        ]
        return {**self.configuration, "receivers": receivers}


def scenarios() -> list[Scenario]:
    """All of them."""
    found = []
    for one in read(PATH).value:
        configuration = {name: one.pop(name) for name in _CONFIGURATION if name in one}
        found.append(Scenario(configuration=configuration, **one))
    return found


def line(at_s: int, receiver: str, firing: Sequence[str], over: Sequence[str]) -> str:
    """A notification."""
    return " ".join([f"{at_s}s {receiver}:", *sorted(firing), *(["over", *sorted(over)] if over else [])])


def said(scenario: Scenario) -> list[str]:
    """What tocsin says, second by second of simulated time."""
    found = imported(scenario.file("http://127.0.0.1"))
    played: Driver = driver(found.routing, [_silence(one) for one in scenario.silences])
    played.channels = {one["id"]: Channel.model_validate(one) for one in found.channels}
    events = list(timeline(list(scenario.alerts), 0))
    for now_s in range(scenario.until_s + 1):
        for at_s, event in events:
            if at_s == now_s:
                played.alert(event, now_s)
        played.tick(now_s)
    lines = []
    for one in played.notifications:
        assert one.group is not None
        at_s = (parse_instant(one.created_at) - BEGIN_MS) // 1_000
        parts: list[list[str]] = [[], []]
        for alert in one.group.alerts:
            parts[alert.status == "resolved"].append(named(alert))
        lines.append((at_s, line(at_s, one.channel_id, *parts)))
    return [text for _, text in sorted(lines)]


def _silence(given: Mapping[str, Any]) -> dict[str, Any]:
    begin_ms, end_ms = (BEGIN_MS + parse_duration(given[name]) for name in ("from", "to"))
    return {"id": given["id"], "match": given["match"], "starts_at": begin_ms, "ends_at": end_ms}
