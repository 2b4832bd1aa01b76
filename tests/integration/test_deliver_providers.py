"""Each provider's channel against a stand-in that holds what it gets to the provider's form, with state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from slack_sdk.models.blocks import Block

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.notification import Notification
from tocsin.testing.alerts import Addressee, firing_event, resolved_event
from tocsin.testing.delivering import Written, delivering
from tocsin.testing.providers import Discord, Ntfy, Opsgenie, PagerDuty, Provider, Slack, Teams, Telegram

NASTY = {
    "alertname": "x",
    "host": "<!channel> @everyone <@U123> [click](https://evil.example) *b* _i_ `c` ~s~ ||x|| </b><script>",
    "service": "a\r\nBcc: x\x00\x1b[31m\u202e" + "&<>" * 400,
    **{f"label_{number}": "v" * 300 for number in range(30)},
}
PROVIDERS: dict[str, tuple[type[Provider], Any]] = {
    "pagerduty": (PagerDuty, lambda it: {"routing_key": it.routing_key, "url": f"{it.url}/v2/enqueue"}),
    "opsgenie": (Opsgenie, lambda it: {"api_key": it.api_key, "url": it.url, "tags": "tocsin, prod"}),
    "teams": (Teams, lambda it: {"webhook_url": f"{it.url}/workflows/1"}),
    "discord": (Discord, lambda it: {"webhook_url": f"{it.url}/api/webhooks/1/token", "username": "tocsin"}),
    "telegram": (Telegram, lambda it: {"bot_token": it.token, "chat_id": it.chat_id, "url": it.url}),
    "ntfy": (Ntfy, lambda it: {"url": it.url, "topic": "ops", "username": it.login[0], "password": it.login[1]}),
    "slack": (Slack, lambda it: {"bot_token": it.token, "channel": it.channel, "api_url": f"{it.url}/api"}),
}
KEY = "ops/9f2c000000000001"
WRONG: dict[str, dict[str, str]] = {
    "opsgenie": {"api_key": "wrong-key"},
    "telegram": {"bot_token": "999:" + "B" * 35},
    "ntfy": {"password": "wrong"},
    "slack": {"bot_token": "xoxb-wrong"},
}


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Any, dict[str, Any]]]:
    kind = request.param
    make, config = PROVIDERS[kind]
    async with make().listening() as running:
        yield kind, running, config(running)


def told(kind: str, event: AlertEvent | None = None, *, test: bool = False) -> Notification:
    return Addressee("ops", kind).notification(event, test=test)


async def deliver(kind: str, config: dict[str, Any], *events: AlertEvent) -> Written:
    async with delivering({"ops": (kind, config)}) as deliverer:
        for event in events:
            await deliverer.tell(told(kind, event))
        return await deliverer.settled()


async def test_an_alert_is_told_from_beginning_to_end(provider: tuple[str, Any, dict[str, Any]]) -> None:
    kind, server, config = provider
    written = await deliver(kind, config, firing_event(), resolved_event())
    assert server.complaints == []
    assert written.outcomes("ops") == ["delivered", "delivered"]
    assert all(one.receipt and one.status_code in (200, 202) for one in written.deliveries)


async def test_labels_of_strangers_break_no_form_and_neither_link_nor_mention(
    provider: tuple[str, Any, dict[str, Any]],
) -> None:
    kind, server, config = provider
    nasty: dict[str, Any] = {"labels": NASTY, "rule_name": NASTY["host"] * 5, "description": NASTY["service"] * 8}
    annotations = {"summary": NASTY["host"] * 40, "description": "\n".join(["@here <!here>"] * 500)}
    written = await deliver(kind, config, firing_event(**nasty, annotations=annotations))
    assert server.complaints == []
    assert written.outcomes("ops") == ["delivered"]
    seen = str(server.requests)
    assert "\x1b" not in seen
    assert "\u202e" not in seen
    if kind == "slack":
        assert "<!channel>" not in seen
        assert "<@U123>" not in seen
    if kind == "discord":
        assert server.messages[0]["allowed_mentions"] == {"parse": [], "roles": [], "users": []}
        assert "[click](https" not in server.messages[0]["embeds"][0]["description"]
    if kind == "telegram":
        assert "@everyone" not in server.messages[0]["text"]
        assert "<script" not in server.messages[0]["text"]


@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_credential_is_told_as_such_and_not_shown(kind: str) -> None:
    make, config = PROVIDERS[kind]
    async with make().listening() as server:
        written = await deliver(kind, {**config(server), **WRONG[kind]}, firing_event())
    ((_, reason, detail),) = written.dead
    assert reason == "credentials refused"
    assert not any(wrong in detail for wrong in WRONG[kind].values())


async def test_an_answer_to_wait_is_heeded(provider: tuple[str, Any, dict[str, Any]]) -> None:
    kind, server, config = provider
    body = {"ok": False, "error": "ratelimited", "retry_after": 0.01, "parameters": {"retry_after": 0.01}}
    server.answers = [web.json_response(body, status=429), web.json_response(body, status=503)]
    written = await deliver(kind, {**config, "retry": {"initial": "1ms", "max": "1ms"}}, firing_event())
    assert written.outcomes("ops") == ["retrying", "retrying", "delivered"]
    assert server.complaints == []


async def test_a_test_send_gives_the_answer_and_the_latency(provider: tuple[str, Any, dict[str, Any]]) -> None:
    kind, server, config = provider
    async with delivering({"ops": (kind, config)}) as deliverer:
        await deliverer.tell(told(kind, test=True))
        (sent,) = (await deliverer.settled()).deliveries
    assert (sent.outcome, sent.test) == ("delivered", True)
    assert sent.receipt
    assert sent.latency_ms > 0
    assert "TEST" in str(server.requests) or "test of the channel" in str(server.requests)


def levels() -> list[AlertEvent]:
    """Three levels, rising and falling, and the end."""
    rising = [firing_event(1, severity="info")]
    rising += [firing_event(n, type="changed", severity=s) for n, s in enumerate(("warning", "critical"), 2)]
    falling = [firing_event(n, type="changed", severity=s) for n, s in enumerate(("warning", "info"), 4)]
    return [*rising, *falling, resolved_event(6, severity="info")]


async def test_three_levels_rising_and_falling_edit_one_slack_message() -> None:
    async with Slack().listening() as slack:
        written = await deliver("slack", PROVIDERS["slack"][1](slack), *levels())
    assert slack.complaints == []
    assert written.outcomes("ops") == ["delivered"] * 6
    (root,) = slack.roots
    assert slack.edits == [root] * 5
    assert "RESOLVED" in slack.messages[root]["blocks"][0]["text"]["text"]
    replies = [message for message in slack.messages.values() if message.get("thread_ts")]
    assert [reply["thread_ts"] for reply in replies] == [root] * 5
    assert [reply["reply_broadcast"] for reply in replies] == [True, True, False, False, False]
    assert written.memory == {}


async def test_three_levels_rising_and_falling_are_one_pagerduty_incident() -> None:
    async with PagerDuty().listening() as pagerduty:
        await deliver("pagerduty", PROVIDERS["pagerduty"][1](pagerduty), *levels())
    assert pagerduty.complaints == []
    (states,) = pagerduty.incidents.values()
    assert states == ["trigger"] * 5 + ["resolve"]


async def test_an_acknowledgement_is_one_at_pagerduty_and_opsgenie() -> None:
    events = [firing_event(1), firing_event(2, type="acknowledged", status="acknowledged"), resolved_event(3)]
    async with PagerDuty().listening() as pagerduty, Opsgenie().listening() as opsgenie:
        await deliver("pagerduty", PROVIDERS["pagerduty"][1](pagerduty), *events)
        await deliver("opsgenie", PROVIDERS["opsgenie"][1](opsgenie), *events)
    assert list(pagerduty.incidents.values()) == [["trigger", "acknowledge", "resolve"]]
    assert list(opsgenie.alerts.values()) == [["create", "acknowledge", "close"]]


async def test_who_takes_care_of_an_alert_stands_in_its_slack_message_and_calls_nobody() -> None:
    taken = {"type": "acknowledged", "status": "acknowledged", "actor": "ada"}
    async with Slack().listening() as slack:
        config = {**PROVIDERS["slack"][1](slack), "mentions": ["here"]}
        await deliver("slack", config, firing_event(1), firing_event(2, **taken))
    assert slack.complaints == []
    (root,) = slack.roots
    assert slack.edits == [root]
    assert "ACKNOWLEDGED" in slack.messages[root]["blocks"][0]["text"]["text"]
    (reply,) = [message for message in slack.messages.values() if message.get("thread_ts")]
    assert (reply["reply_broadcast"], "Acknowledged by ada." in reply["text"]) == (False, True)
    assert "<!here>" not in str(slack.messages[root])


async def test_another_episode_gets_another_slack_message() -> None:
    later = "2026-11-24T10:00:00.000Z"
    events = [firing_event(1), firing_event(2, starts_at=later, fired_at=later, updated_at=later)]
    async with Slack().listening() as slack:
        await deliver("slack", PROVIDERS["slack"][1](slack), *events)
    assert len(slack.roots) == 2
    assert slack.edits == []


async def test_the_message_is_remembered_beyond_a_restart_and_posted_anew_when_it_is_gone() -> None:
    async with Slack().listening() as slack:
        config = PROVIDERS["slack"][1](slack)
        before = await deliver("slack", config, firing_event(1))
        for number, gone in ((2, False), (3, True)):
            if gone:
                slack.messages.clear()
            async with delivering({"ops": ("slack", config)}) as deliverer:
                deliverer.written.memory = dict(before.memory)
                await deliverer.tell(told("slack", firing_event(number, type="changed", severity="error")))
                deliverer.workers["slack"].books.memory.apply("ops/9f2c000000000001", before.memory[KEY])
                before = await deliverer.settled()
            assert slack.edits.count(slack.roots[0]) == (0 if gone else 1)
    assert slack.complaints == []
    assert before.memory[KEY].reference["ts"] == slack.roots[0]


async def test_a_reply_that_failed_is_tried_again_without_a_second_edit() -> None:
    async with Slack().listening() as slack:
        config = {**PROVIDERS["slack"][1](slack), "retry": {"initial": "1ms", "max": "1ms"}}
        async with delivering({"ops": ("slack", config)}) as deliverer:
            await deliverer.tell(told("slack", firing_event(1)))
            await deliverer.settled()
            slack.answers = [web.json_response({"ok": True}), web.json_response({"ok": False, "error": "fatal_error"})]
            await deliverer.tell(told("slack", firing_event(2, type="changed", severity="critical")))
            written = await deliverer.settled()
    assert written.outcomes("ops") == ["delivered", "retrying", "delivered"]
    methods = [path for path, _ in slack.requests]
    assert methods.count("/api/chat.update") == 1


async def test_slacks_own_models_take_the_blocks() -> None:
    async with Slack().listening() as slack:
        await deliver("slack", PROVIDERS["slack"][1](slack), firing_event(labels=NASTY), resolved_event())
    for message in slack.messages.values():
        for block in Block.parse_all(message.get("blocks", [])):
            block.validate_json()


async def test_mentions_are_those_of_the_settings_and_only_while_it_fires() -> None:
    async with Slack().listening() as slack, Discord().listening() as discord:
        config = {**PROVIDERS["slack"][1](slack), "mentions": ["here", "S0AB12"], "thread": False}
        await deliver("slack", config, firing_event(1))
        (message,) = slack.messages.values()
        assert message["blocks"][1]["text"]["text"].startswith("<!here> <!subteam^S0AB12>\n")
        config = {**PROVIDERS["discord"][1](discord), "mentions": "here, role:123456789012345678"}
        await deliver("discord", config, firing_event(1), resolved_event(2))
    first, last = discord.messages
    assert first["content"] == "@here <@&123456789012345678>"
    assert first["allowed_mentions"] == {"parse": ["everyone"], "roles": ["123456789012345678"], "users": []}
    assert "content" not in last
    assert last["allowed_mentions"]["parse"] == []
