"""Receivers that keep something open: one incident and one message for an alert, from its first word to its last."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.integration.routed import World, world

from tocsin.engine.pipeline import Pipeline
from tocsin.schemas.channel import Channel
from tocsin.schemas.rule import Rule
from tocsin.testing import eventually
from tocsin.testing.delivering import delivering
from tocsin.testing.providers import Opsgenie, PagerDuty, Slack

AT_MS = 1_700_000_000_000
LEVELS = [
    {"severity": "info", "threshold": 100},
    {"severity": "warning", "threshold": 500},
    {"severity": "critical", "threshold": 900},
]
ROUTES = {
    "route": {"channels": ["pager", "genie", "bot"], "group_by": ["team"], "group_wait": "0s", "group_interval": "1m"}
}


def configs(pager: PagerDuty, genie: Opsgenie, slack: Slack) -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "pager": ("pagerduty", {"routing_key": pager.routing_key, "url": f"{pager.url}/v2/enqueue"}),
        "genie": ("opsgenie", {"api_key": genie.api_key, "url": genie.url}),
        "bot": ("slack", {"bot_token": slack.token, "channel": slack.channel, "api_url": f"{slack.url}/api"}),
    }


@pytest.mark.parametrize("own", [True, False], ids=["the rule's own channels", "a route's group"])
async def test_a_silence_set_while_it_fires_leaves_nothing_open(
    kafka: str, tmp_path: Path, topic_prefix: str, *, own: bool
) -> None:
    async with AsyncExitStack() as stack:
        pager = await stack.enter_async_context(PagerDuty().listening())
        genie = await stack.enter_async_context(Opsgenie().listening())
        slack = await stack.enter_async_context(Slack().listening())
        at = await stack.enter_async_context(world(kafka, tmp_path, topic_prefix))
        for name, (kind, config) in configs(pager, genie, slack).items():
            await at.call("POST", "/channels", {"id": name, "type": kind, "config": config}, 201)
        if not own:
            await at.call("PUT", "/routes", ROUTES, 201)
        told = ["pager", "genie", "bot"] if own else []
        fingerprint = await at.trigger("a1", notifications=told)
        await eventually(lambda: bool(pager.incidents and genie.alerts and slack.roots), 40, f"the alert; {at.log()}")
        await at.call("POST", f"/alerts/{fingerprint}/acknowledge", {"by": "ada"})
        await eventually(lambda: _ends(pager, "acknowledge") and _ends(genie, "acknowledge"), 40, at.log())
        await at.call("POST", f"/alerts/{fingerprint}/unacknowledge", {"by": "ada"})
        await eventually(lambda: _ends(pager, "trigger") and _ends(genie, "unacknowledge"), 40, at.log())
        await _silence(at)
        await at.resolve(fingerprint)
        (root,) = slack.roots
        await eventually(lambda: _ends(pager, "resolve") and _ends(genie, "close"), 40, at.log())
        await eventually(lambda: "RESOLVED" in str(slack.messages[root]["blocks"][0]), 40, at.log())
        assert list(pager.incidents.values()) == [["trigger", "acknowledge", "trigger", "resolve"]]
        assert list(genie.alerts.values()) == [["create", "acknowledge", "unacknowledge", "close"]]
        assert [*pager.complaints, *genie.complaints, *slack.complaints] == []


def _ends(provider: PagerDuty | Opsgenie, with_: str) -> bool:
    """What was done last to the only thing that is there."""
    kept = provider.incidents if isinstance(provider, PagerDuty) else provider.alerts
    (states,) = kept.values()
    return states[-1] == with_


async def _silence(at: World) -> None:
    silence = await at.call("POST", "/silences", {"match": ["host=a1"], "comment": "enough", "allow_broad": True}, 201)
    assert silence["state"] == "active"


async def test_three_levels_rising_and_falling_are_one_alert_one_message_and_one_incident() -> None:
    """From samples to receivers: every event by the engine, every message by the channels themselves."""
    rule = Rule.model_validate(
        {"id": "slow", "metric_type": "m", "levels": LEVELS, "notifications": ["pager", "genie", "bot"]}
    )
    async with PagerDuty().listening() as pager, Opsgenie().listening() as genie, Slack().listening() as slack:
        wanted = configs(pager, genie, slack)
        pipeline = Pipeline([rule], [Channel(id=name, type=kind) for name, (kind, _) in wanted.items()])
        pipeline.run(AT_MS)
        for second, value in enumerate((50, 200, 600, 950, 990, 600, 200, 950, 50)):
            sample = {"name": "m", "value": value, "timestamp": AT_MS + second * 1_000, "labels": {"host": "a1"}}
            pipeline.publish(json.dumps(sample).encode(), AT_MS + second * 1_000, b"a1")
        pipeline.run(AT_MS + 60_000)
        severities = ["info", "warning", "critical", "warning", "info", "critical", "critical"]
        assert [event.severity for event in pipeline.events][:-1] == severities[:-1]
        assert len({event.fingerprint for event in pipeline.events}) == 1
        async with delivering(wanted) as deliverer:
            for notification in pipeline.notifications:
                await deliverer.tell(notification)
                written = await deliverer.settled()
    events = len(pipeline.events)
    assert all(written.outcomes(name) == ["delivered"] * events for name in wanted)
    assert len(slack.roots) == 1
    assert slack.edits == slack.roots * (events - 1)
    ((_, states),) = pager.incidents.items()
    assert states == ["trigger"] * (events - 1) + ["resolve"]
    ((_, done),) = genie.alerts.items()
    assert done[-1] == "close"
    assert [*pager.complaints, *genie.complaints, *slack.complaints] == []
