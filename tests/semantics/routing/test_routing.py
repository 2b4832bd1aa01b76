"""What routes, groups, silences and inhibitions mean, pinned as timelines: each file beside this one holds scenarios.

`alerts` are what lifecycle says, one line each: `30s fires one{a="x"} critical`; other verbs are `resolves`, `changes`,
`acks`, `unacks`, `reminds` and `returns` (a snooze is over). `told` are all notifications, `30s mail: some resolved
one{a="x"} over two`. `decided` are decisions, which must be among those that are made, and `undecided` must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.routing.cases import BEGIN_MS, Driver, driver, make_event

from tocsin.documents import read
from tocsin.engine.testing.notation import format_labels, parse_series
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import format_duration, parse_duration
from tocsin.schemas.instant import parse_instant

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
SCENARIOS = [(path, one) for path in FILES for one in read(path).value]
IDS = [f"{path.stem}: {one['name']}" for path, one in SCENARIOS]
KINDS = {
    "fires": "firing", "resolves": "resolved", "changes": "changed", "acks": "acknowledged", "unacks": "unacknowledged",
    "reminds": "reminded", "returns": "unacknowledged",
}  # fmt: skip
_LONG_S = 7_200  # longer scenarios have all their times at multiples of 5s
LINE = re.compile(r"(?P<at>\S+) (?P<verb>\w+) (?P<alert>\w+(?:\{.*\})?)(?P<rest>.*)")


def named(event: AlertEvent) -> str:
    """`one{a="x"}`."""
    return f"{event.rule_id}{format_labels(event.labels)}"


def second(text: str, begin_ms: int) -> str:
    """A time as it stands in a scenario."""
    return format_duration(parse_instant(text) - begin_ms)


def timeline(lines: list[str], begin_s: int) -> Iterator[tuple[int, AlertEvent]]:
    """The events of a scenario, each with its second; what a line does not say stays as it was."""
    known: dict[str, dict[str, Any]] = {}
    for sequence, line in enumerate(lines, 1):
        found = LINE.fullmatch(line)
        assert found, f"{line!r} is not understood"
        at_s = begin_s + parse_duration(found["at"]) // 1_000
        rule, labels = parse_series(found["alert"])
        said = known.setdefault(found["alert"], {})
        if found["verb"] == "fires":
            said |= {"fired_s": at_s, "severity": "warning", "notifications": ()}
        for word in found["rest"].split():
            name, _, value = word.partition("=")
            if name == "since":
                said["fired_s"] = begin_s + parse_duration(value) // 1_000
            elif name == "own":
                said["notifications"] = tuple(value.split(","))
            else:
                said["severity"] = word
        reason = {"returns": "snooze over", "unacks": "manual"}.get(found["verb"], "condition")
        yield at_s, make_event(rule, labels, KINDS[found["verb"]], at_s, sequence=sequence, reason=reason, **said)


def play(scenario: Mapping[str, Any]) -> tuple[Driver, int]:
    """Play a scenario second by second; what came of it, and the time that counts as 0s."""
    begin_ms = parse_instant(scenario["begin"]) if "begin" in scenario else BEGIN_MS
    begin_s = (begin_ms - BEGIN_MS) // 1_000
    silences = []
    for silence in scenario.get("silences", ()):
        given = dict(silence)
        span = {name: begin_ms + parse_duration(given.pop(name)) for name in ("from", "to")}
        silences.append({**given, "starts_at": span["from"], "ends_at": span["to"]})
    played = driver(scenario.get("routing"), silences)
    events = list(timeline(scenario["alerts"], begin_s))
    now_s, end_s = begin_s, begin_s + parse_duration(scenario["until"]) // 1_000
    step_s = 1 if end_s - begin_s <= _LONG_S else 5
    while now_s <= end_s:
        for at_s, event in events:
            if at_s == now_s:
                played.alert(event, now_s)
        played.tick(now_s)
        now_s += step_s
    return played, begin_ms


def told(played: Driver, begin_ms: int) -> list[str]:
    """Every notification as a line."""
    found = []
    for one in played.notifications:
        at = second(one.created_at, begin_ms)
        if one.group is None:
            found.append(f"{at} {one.channel_id}: {one.event.type} {named(one.event)}")
            continue
        firing = sorted(named(alert) for alert in one.group.alerts if alert.status != "resolved")
        over = sorted(named(alert) for alert in one.group.alerts if alert.status == "resolved")
        words = [f"{at} {one.channel_id}: {one.group.reason}", *firing, *(["over", *over] if over else [])]
        found.append(" ".join(words))
    return found


def decided(played: Driver, begin_ms: int) -> list[str]:
    """Every decision as a line."""
    names = {join.event.fingerprint: named(join.event) for join in played.joins}
    names |= {event.fingerprint: named(event) for one in played.notifications for event in [one.event]}
    names |= {one.event.fingerprint: named(one.event) for one in played.joins}
    return [
        " ".join(
            filter(
                None,
                [
                    second(one.at, begin_ms),
                    names.get(one.fingerprint, one.rule_id),
                    one.outcome,
                    one.reason if one.outcome == "sent" else "",
                    ",".join(names.get(name, name) for name in one.by),
                ],
            )
        )
        for one in played.decisions
    ]


@pytest.mark.parametrize(
    ("path", "scenario"), SCENARIOS, ids=[f"{path.stem}: {one['name']}" for path, one in SCENARIOS]
)
def test_routing_means_what_the_scenario_says(path: Path, scenario: Mapping[str, Any]) -> None:
    played, begin_ms = play(scenario)
    assert told(played, begin_ms) == scenario["told"], path.name
    assert {one.outcome for one in played.decisions if one.until} <= {"waiting"}, "how long the rest goes on depends"
    lines = decided(played, begin_ms)
    assert [line for line in scenario.get("decided", ()) if line not in lines] == [], lines
    assert [line for line in scenario.get("undecided", ()) if line in lines] == [], lines
